#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# After a domain's end every revertfs is told why it ended and what its configuration says now, and a commit that was
# done takes its one-shot-commit back. libvirt does not listen any more, so what fails is in the log.
. "$TESTS/hook/lib.sh"

everything_committed='{"ok":true,"disks":[{"name":"win10.qcow2","target":"vda","action":"committed"},{"name":"second.qcow2","target":"vdb","action":"reset"}]}'
both_armed='{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb","one-shot-commit":true}]}'

no_mount_no_noise() {
	hook release win10 release end shutdown
	silent
	[[ ! -e $LOG ]]
}
promise "without any revertfs, domains without a configuration end in silence" no_mount_no_noise

no_mount_but_configured() {
	domain_json win10 <<<"$both_armed"
	! hook release win10 release end shutdown
	says "no revertfs is mounted"
	logged "win10: release: no revertfs is mounted"
	rm "$CONFIG/win10.json"
}
promise "without any revertfs, a configured domain's end is an error in the log" no_mount_but_configured

start_fake vm && start_fake other || fail "the fakes start"

every_mount_is_asked() {
	hook release win10 release end destroyed
	silent
	same "$(lines vm)" "release $UUID domain=win10 reason=destroyed saved=no"
	same "$(lines other)" "$(lines vm)"
}
promise "every revertfs is asked, also for a domain without a configuration" every_mount_is_asked

entries_and_sources() {
	forget_lines vm
	domain_json win10 <<<'{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdz"}]}'
	hook release win10 release end shutdown
	silent
	[[ $(lines vm) == "release $UUID domain=win10 reason=shutdown saved=no config="*" vda armed=yes source=/srv/vm/win10.qcow2 vdz armed=no" ]]
	forget_lines vm
	hook release-snapshot win10 release end shutdown
	[[ $(lines vm) == *" vda armed=yes source=/srv/vm/win10.s1 vdz armed=no" ]]
	forget_lines vm
	hook release-chain win10 release end shutdown
	[[ $(lines vm) == *" vda armed=yes source=/srv/vm/win10.qcow2 vdz armed=no" ]]
}
promise "a release says what the configuration and the XML say now" entries_and_sources

reasons_from_the_log() {
	local reason
	for reason in shutdown destroyed crashed migrated saved failed 'from snapshot' daemon; do
		forget_lines vm
		printf '%s\n' '2026-11-20 18:34:48.407+0000: starting up libvirt version: 9.0.0, package: 9.0.0-4' \
			"2026-11-20 18:34:49.224+0000: shutting down, reason=$reason" \
			'2026-11-20T18:34:49.3Z qemu-system-x86_64: terminating on signal 15' >"$LIBVIRT/win10.log"
		hook release win10 release end
		grep -qF " reason=\"$reason\" " "$WORK/vm/lines"
	done
	rm "$LIBVIRT/win10.log"
	forget_lines vm
	hook release win10 release end
	grep -qF ' reason="unknown" ' "$WORK/vm/lines"
	forget_lines vm
	: >"$SAVE/win10.save"
	hook release win10 release end
	rm "$SAVE/win10.save"
	grep -qF ' reason="saved" saved="yes"' "$WORK/vm/lines"
}
promise "before libvirt 10.5 the domain's log tells the reason" reasons_from_the_log

committed_flags_are_taken_back() {
	domain_json win10 <<<"$both_armed"
	chmod 600 "$CONFIG/win10.json"
	chown 7:8 "$CONFIG/win10.json"
	answer vm release <<<"$everything_committed"
	hook release win10 release end shutdown
	silent
	same "$(cat "$CONFIG/win10.json")" '{"disks":[{"target":"vda","one-shot-commit":false},{"target":"vdb","one-shot-commit":true}]}'
	same "$(stat -c %a:%u:%g "$CONFIG/win10.json")" 600:7:8
	same "$(ls -A "$CONFIG")" win10.json
	logged "win10: release (shutdown): vda 'win10.qcow2': committed"
	logged "win10: release (shutdown): vdb 'second.qcow2': reset"
}
promise "a commit takes its own flag back and nothing else" committed_flags_are_taken_back

a_read_only_configuration_is_not_lost() {
	domain_json win10 <<<"$both_armed"
	mount --bind "$CONFIG" "$CONFIG"
	mount -o remount,bind,ro "$CONFIG"
	hook release win10 release end shutdown
	umount "$CONFIG"
	same "$(cat "$CONFIG/win10.json")" "$both_armed"
	logged "cannot write one-shot-commit back to '$CONFIG/win10.json': Read-only file system"
}
promise "a flag that cannot be written back is logged, and the file stays whole" a_read_only_configuration_is_not_lost

what_was_put_aside_is_named() {
	answer vm release <<<'{"ok":true,"disks":[{"name":"win10.qcow2","target":"vda","action":"aside","point":"crash-2026"}]}'
	hook release win10 release end crashed
	logged "win10: release (crashed): vda 'win10.qcow2': aside as crash-2026"
}
promise "the name of what was put aside is in the log" what_was_put_aside_is_named

warnings_are_logged() {
	answer vm release <<<'{"ok":true,"disks":[{"name":"win10.qcow2","target":"vda","action":"reset","warning":"the rest is in lost/"}]}'
	hook release win10 release end crashed
	logged "win10: release (crashed): vda: warning: the rest is in lost/"
}
promise "what the daemon warns of is in the log" warnings_are_logged

refusals_are_logged() {
	refusing vm release
	domain_json win10 <<<"$both_armed"
	! hook release win10 release end shutdown
	says "disk 'a' is open for writing"
	logged "win10: release (shutdown): disk 'a' is open for writing: end what has it open"
	same "$(cat "$CONFIG/win10.json")" "$both_armed"
	[[ $(lines other | tail -n 1) == "release "*" reason=shutdown "* ]]
	rm "$WORK/vm/answer.release"
}
promise "a refused release is logged, leaves the flags, and the other mounts are told all the same" refusals_are_logged

# Of a guest that was shut down the daemon is told which disks no session protected.
unhooked=" vda unhooked=yes source=/srv/vm/win10.qcow2 vdb unhooked=yes source=/srv/vm/second.qcow2"
unhooked+=" vdc unhooked=yes source=/srv/vm/data.img"

without_a_configuration() {
	forget_lines vm
	rm "$CONFIG/win10.json"
	hook release win10 release end shutdown
	same "$(lines vm)" "release $UUID domain=win10 reason=shutdown saved=no$unhooked"
}
promise "without a configuration the daemon is told which disks a guest had that was shut down" without_a_configuration

a_broken_configuration_counts_as_none() {
	forget_lines vm
	domain_json win10 <<<'{"disks":['
	hook release win10 release end shutdown
	silent
	same "$(lines vm)" "release $UUID domain=win10 reason=shutdown saved=no$unhooked"
	logged "win10: release: '$CONFIG/win10.json' is not valid JSON"
	same "$(cat "$CONFIG/win10.json")" '{"disks":['
}
promise "at release a configuration that is not valid counts as none, and is logged" a_broken_configuration_counts_as_none

names_stay_in_their_log_line() {
	local name=$'x\n2026-01-01T00:00:00Z forged: line' before
	before=$(wc -l <"$LOG")
	domain_json "$name" <<<'['
	hook release "$name" release end shutdown
	same "$(wc -l <"$LOG")" "$((before + 1))"
	logged "x?2026-01-01T00:00:00Z forged: line: release: "
	grep -qE '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z x\?' "$LOG"
	same "$(stat -c %a "$LOG")" 640
}
promise "a name with a newline stays in its log line" names_stay_in_their_log_line

a_log_that_cannot_be_written_fails_nothing() {
	rm "$LOG" "$CONFIG"/*
	mkdir "$LOG"
	domain_json win10 <<<'{"disks":[{"target":"vda"}]}'
	hook release win10 release end shutdown
	silent
	hook prepare win10 prepare begin
	silent
	rmdir "$LOG"
	mkfifo "$LOG"
	timeout 10 "$REVERTFS_HOOK" --config-dir "$CONFIG" --log "$LOG" win10 prepare begin - <"$XML/prepare.xml"
	rm "$LOG"
}
promise "a log that cannot be written fails nothing and holds nobody" a_log_that_cannot_be_written_fails_nothing
