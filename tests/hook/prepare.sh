#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Before a domain starts, the daemons of its configured disks are told, all or none; and what stands in the way is said
# in one sentence, before anything has been changed.
. "$TESTS/hook/lib.sh"

start_fake vm && start_fake other || fail "the fakes start"

without_a_configuration_nothing_happens() {
	hook prepare win10 prepare begin
	silent
	hook restore win10 restore begin
	hook prepare win10 migrate begin
	same "$(lines vm)" ""
}
promise "a domain without a configuration is left alone" without_a_configuration_nothing_happens

one_command_for_both_disks() {
	domain_json win10 <<<'{"disks":[{"target":"vda"},{"target":"vdb","one-shot-commit":true,"leftover":"keep"}]}'
	answer vm prepare <<<'{"ok":true,"disks":[{"name":"win10.qcow2","target":"vda","action":"fresh"}]}'
	hook prepare win10 prepare begin
	silent
	local token
	token=$(stat -c %d:%i:%.9Y "$CONFIG/win10.json")
	same "$(lines vm)" "prepare $UUID domain=win10 saved=no config=$token \
/srv/vm/win10.qcow2 target=vda source=/srv/vm/win10.qcow2 armed=no \
/srv/vm/second.qcow2 target=vdb source=/srv/vm/second.qcow2 armed=yes leftover=keep"
	logged "win10: prepare: vda 'win10.qcow2': fresh"
	same "$(lines other)" ""
}
promise "the disks of a mount are prepared in one command" one_command_for_both_disks

managed_save_is_said() {
	forget_lines vm
	: >"$SAVE/win10.save"
	hook prepare win10 prepare begin
	rm "$SAVE/win10.save"
	[[ $(lines vm) == *" saved=yes "* ]]
}
promise "prepare says that a managed save is there" managed_save_is_said

names_arrive_as_they_are() {
	forget_lines vm
	local name='odd & "name" é'
	domain_json "$name" <<<'{"disks":[{"target":"vda"}]}'
	hook odd "$name" prepare begin
	grep -qF 'domain="odd & \"name\" é"' "$WORK/vm/lines"
	grep -qF '"/srv/vm/it'\''s \"q\" & é <1>.qcow2" target="vda"' "$WORK/vm/lines"
	domain_json $'new\nline' <<<'{"disks":[{"target":"vda"}]}'
	hook prepare $'new\nline' prepare begin
	grep -qF 'domain="new?line"' "$WORK/vm/lines"
	same "$(wc -l <"$WORK/vm/lines")" 2
	domain_json --help <<<'{"disks":[{"target":"vda"}]}'
	hook prepare --help prepare begin
	grep -qF 'domain="--help"' "$WORK/vm/lines"
}
promise "odd names and paths arrive as they are, and one event is one line" names_arrive_as_they_are

no_options_with_four_arguments() {
	"$REVERTFS_HOOK" --help reconnect begin - </dev/null >"$WORK/stdout" 2>"$WORK/refusal"
	silent
}
promise "a domain may be called --help" no_options_with_four_arguments

volumes_are_found_in_their_pool() {
	forget_lines vm
	domain_json vol <<<'{"disks":[{"target":"vda"}]}'
	vetoed "the storage pool 'pool 1' is not there" volume vol prepare begin
	cp "$XML/pool 1.xml" "$POOLS/pool 1.xml"
	hook volume vol prepare begin
	grep -qF '"/srv/vm/p m/v 1.qcow2" target="vda"' "$WORK/vm/lines"
}
promise "a volume is prepared by the path that its pool gives it" volumes_are_found_in_their_pool

consumed_flags_are_written_back() {
	domain_json win10 <<<'{ "disks": [ {"target":"vda", "one-shot-commit": true, "x":1.0}, {"target":"vdb", "one-shot-commit": true} ] }'
	answer vm prepare <<<'{"ok":true,"disks":[{"name":"a","target":"vda","action":"fresh","consumed":true},{"name":"b","target":"vdb","action":"fresh","consumed":false}]}'
	hook prepare win10 prepare begin
	rm "$WORK/vm/answer.prepare"
	same "$(cat "$CONFIG/win10.json")" \
		'{ "disks": [ {"target":"vda", "one-shot-commit": false, "x":1.0}, {"target":"vdb", "one-shot-commit": true} ] }'
}
promise "a flag that was consumed earlier is taken back at prepare" consumed_flags_are_written_back

# ---- refusals

bad_configurations_are_named() {
	forget_lines vm
	domain_json win10 <<<$'{"disks":[\n{"target":"vda" "x":1}]}'
	vetoed "'$CONFIG/win10.json' is not valid JSON in line 2" prepare win10 prepare begin
	vetoed "'$CONFIG/win10.json' is not valid JSON in line 2" restore win10 restore begin
	vetoed "'$CONFIG/win10.json' is not valid JSON in line 2" prepare win10 migrate begin
	domain_json win10 <<<'{"disks":[{"target":"vda","one-shot-commit":"true"}]}'
	vetoed '"one-shot-commit" must be true or false' prepare win10 prepare begin
	logged "win10: prepare refused: '$CONFIG/win10.json', target 'vda'"
	same "$(lines vm)" ""
}
promise "a configuration that is not valid stops the start, with its file and line" bad_configurations_are_named

bad_disks_are_named() {
	forget_lines vm
	domain_json win10 <<<'{"disks":[{"target":"vda"},{"target":"vdx"}]}'
	vetoed "names the target 'vdx', but the domain has no such disk" prepare win10 prepare begin
	domain_json win10 <<<'{"disks":[{"target":"vdc"}]}'
	vetoed "disk 'vdc' has the driver type 'raw'" prepare win10 prepare begin
	domain_json win10 <<<'{"disks":[{"target":"hda"}]}'
	vetoed "'hda' is a cdrom" prepare win10 prepare begin
	domain_json win10 <<<'{"disks":[{"target":"vda"}]}'
	sed 's|/srv/vm/win10|/srv/vm-images/win10|' "$XML/prepare.xml" >"$WORK/real.xml"
	vetoed "set its source to '/srv/vm/win10.qcow2' with 'virsh edit'" "$WORK/real.xml" win10 prepare begin
	sed 's|/srv/vm/win10|/var/lib/win10|' "$XML/prepare.xml" >"$WORK/elsewhere.xml"
	vetoed "'/var/lib/win10.qcow2' is in no revertfs mount (there is '/srv/vm', '/srv/other')" "$WORK/elsewhere.xml" win10 prepare begin
	vetoed "<backingStore>" prepare-chain win10 prepare begin
	same "$(lines vm)" ""
}
promise "a disk that cannot be protected stops the start, with what to do" bad_disks_are_named

xml_is_needed() {
	vetoed "the domain's XML, which libvirt gives to its hooks, is not valid XML" /dev/null win10 prepare begin
}
promise "a start without the domain's XML is stopped" xml_is_needed

refusals_of_the_daemon_are_shown() {
	refusing vm prepare
	vetoed "disk 'a' is open for writing: end what has it open" prepare win10 prepare begin
	same "$(cat "$WORK/refusal")" "revertfs: disk 'a' is open for writing: end what has it open"
	rm "$WORK/vm/answer.prepare"
}
promise "a refusal of the daemon is shown in its own words" refusals_of_the_daemon_are_shown

one_refusal_takes_the_others_back() {
	forget_lines vm other
	sed 's|/srv/vm/second|/srv/other/second|' "$XML/prepare.xml" >"$WORK/two.xml"
	domain_json win10 <<<'{"disks":[{"target":"vda"},{"target":"vdb","one-shot-commit":true}]}'
	refusing other prepare
	vetoed "is open for writing" "$WORK/two.xml" win10 prepare begin
	rm "$WORK/other/answer.prepare"
	same "$(lines vm | wc -l)" 2
	[[ $(lines vm | tail -n 1) == "release $UUID domain=win10 reason=failed saved=no config="*" vda armed=no source=/srv/vm/win10.qcow2 "* ]]
	[[ $(lines other) == "prepare "* && $(lines other | wc -l) == 1 ]]
}
promise "when one mount refuses, what the others prepared is taken back" one_refusal_takes_the_others_back

no_migration_of_protected_disks() {
	vetoed "cannot be migrated" prepare win10 migrate begin
	domain_json win10 <<<'{"disks":[]}'
	hook prepare win10 migrate begin
}
promise "a domain with protected disks is not migrated" no_migration_of_protected_disks

# ---- restore

restore_is_announced() {
	forget_lines vm other
	domain_json win10 <<<'{"disks":[{"target":"vda"}]}'
	hook restore win10 restore begin
	silent
	same "$(lines vm)" "announce $UUID"
	same "$(lines other)" ""
	refusing vm announce
	vetoed "is open for writing" restore win10 restore begin
	rm "$WORK/vm/answer.announce"
}
promise "a restore is announced, and vetoed when that fails" restore_is_announced

spelled_out_chains_are_forgotten() {
	hook restore-chain win10 restore begin
	same "$(cat "$WORK/refusal")" ""
	# Nothing but the chain has gone. (What is the same in both: the second recording has a label, and other quotes.)
	cp "$WORK/stdout" "$WORK/given-back.xml"
	diff <(tr -d ' \n' <"$XML/restore.xml" | tr "'" '"') \
		<(tail -n +2 "$WORK/given-back.xml" | grep -v '<seclabel' | tr -d ' \n')
	refusing vm announce
	vetoed "is open for writing" restore-chain win10 restore begin
	rm "$WORK/vm/answer.announce"
}
promise "a chain that libvirt spelled out in a saved domain is given back without it" spelled_out_chains_are_forgotten

# ---- what is none of its business

others_are_ignored() {
	local event
	forget_lines vm
	domain_json win10 <<<'not JSON'
	for event in 'start begin' 'started begin' 'stopped end' 'reconnect begin' 'attach begin' 'release begin' 'prepare end' 'new thing'; do
		# shellcheck disable=SC2086 # two words
		timeout 5 "$REVERTFS_HOOK" win10 $event - < <(sleep 20) >"$WORK/stdout" 2>"$WORK/refusal"
		silent
	done
	same "$(lines vm)" ""
}
promise "every other event is left alone, and its XML is not waited for" others_are_ignored
