#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever the daemon does, the hook comes to an end within its deadline, with a sentence, and nobody it leaves behind
# holds what libvirt waits for.
. "$TESTS/hook/lib.sh"
need jq

start_fake vm && start_fake other || fail "the fakes start"
domain_json win10 <<<'{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb","one-shot-commit":true}]}'
json=$(cat "$CONFIG/win10.json")
sed 's|/srv/vm/second|/srv/other/second|' "$XML/prepare.xml" >"$WORK/two.xml"
committed='{"ok":true,"disks":[{"name":"a","target":"vda","action":"committed"}]}'

in_seconds() {
	local least=$1 most=$2 started
	shift 2
	started=$(milliseconds)
	"$@" || return
	local took=$(($(milliseconds) - started))
	((took >= least * 1000 && took < most * 1000 * SLOW)) || { echo "took $took ms" >&2; return 1; }
}

no_control_file() {
	: >"$WORK/vm/gone"
	vetoed "the revertfs daemon of '/srv/vm' does not run (No such file or directory): start the revertfs service" \
		prepare win10 prepare begin
	rm "$WORK/vm/gone"
}
promise "a mount without a control file is a daemon that does not run" no_control_file

the_daemon_dies_while_asked() {
	start_fake dying
	: >"$WORK/dying/die.prepare"
	sed 's|/srv/vm/|/srv/dying/|' "$XML/prepare.xml" >"$WORK/dying.xml"
	vetoed "the revertfs daemon of '/srv/dying'" "$WORK/dying.xml" win10 prepare begin
	vetoed "the revertfs daemon of '/srv/dying' does not run (Transport endpoint is not connected): start the revertfs service" \
		"$WORK/dying.xml" win10 prepare begin
	umount -l /srv/dying
}
promise "a daemon that died leaves a sentence with its mount" the_daemon_dies_while_asked

nonsense_is_an_error() {
	local nonsense
	for nonsense in '' 'hello' '{"ok":' '{"ok":true}{"ok":true}'; do
		answer vm prepare <<<"$nonsense"
		vetoed "answer that makes no sense" prepare win10 prepare begin
	done
	head -c 1500000 /dev/zero | tr '\0' x >"$WORK/vm/answer.prepare"
	vetoed "gave no answer: File too large" prepare win10 prepare begin
	(printf '{"ok":true,"x":"'; head -c 300000 /dev/zero | tr '\0' x; printf '"}') >"$WORK/vm/answer.prepare"
	hook prepare win10 prepare begin
	rm "$WORK/vm/answer.prepare"
}
promise "an answer that makes no sense or has no end is an error, and a long one is read whole" nonsense_is_an_error

a_slow_answer_is_waited_for() {
	: >"$WORK/vm/stall.prepare"
	(sleep 1; rm "$WORK/vm/stall.prepare") &
	in_seconds 0 10 hook prepare win10 prepare begin
	silent
}
promise "an answer that comes late, but in time, counts" a_slow_answer_is_waited_for

stalled_prepare_ends() {
	: >"$WORK/vm/stall.prepare"
	HOOK_OPTIONS='--deadline 1' in_seconds 1 8 \
		vetoed "the revertfs daemon of '/srv/vm' did not answer within 1 s: see its log" prepare win10 prepare begin
	logged "win10: prepare refused: the revertfs daemon of '/srv/vm' did not answer within 1 s"
	rm "$WORK/vm/stall.prepare"
}
promise "a daemon that stalls costs the deadline and no more" stalled_prepare_ends

one_deadline_for_all() {
	: >"$WORK/vm/stall.prepare"
	: >"$WORK/other/stall.prepare"
	HOOK_OPTIONS='--deadline 5' in_seconds 5 9 vetoed "did not answer within 5 s" "$WORK/two.xml" win10 prepare begin
	rm "$WORK"/{vm,other}/stall.prepare
}
promise "several daemons that stall cost one deadline together" one_deadline_for_all

what_the_other_prepared_is_taken_back() {
	forget_lines vm other
	: >"$WORK/other/stall.prepare"
	HOOK_OPTIONS='--deadline 1' vetoed "'/srv/other' did not answer" "$WORK/two.xml" win10 prepare begin
	rm "$WORK/other/stall.prepare"
	[[ $(lines vm) == *$'\n'"release "*" reason=failed "* ]]
}
promise "what one mount prepared is taken back when another stalls" what_the_other_prepared_is_taken_back

nothing_is_written_while_an_end_is_open() {
	forget_lines vm other
	answer vm release <<<"$committed"
	: >"$WORK/other/stall.release"
	HOOK_OPTIONS='--deadline 1' refuses in_seconds 1 8 hook "$WORK/two.xml" win10 release end shutdown
	same "$(cat "$CONFIG/win10.json")" "$json"
	logged "win10: release (shutdown): vda 'a': committed"
	rm "$WORK/other/stall.release" "$WORK/vm/answer.release"
	# It goes on in the daemon: the release was not withdrawn.
	[[ $(lines other) == "release "* ]]
}
promise "while one daemon has not said how its release ended, no flag is taken back" nothing_is_written_while_an_end_is_open

strangers_cost_little() {
	answer vm release <<<"$committed"
	: >"$WORK/other/stall.release"
	in_seconds 1 12 refuses hook release win10 release end shutdown
	logged "the revertfs daemon of '/srv/other' did not answer within 5 s"
	rm "$WORK/other/stall.release"
	same "$(jq -c '[.disks[]["one-shot-commit"]]' "$CONFIG/win10.json")" '[false,true]'
	printf '%s\n' "$json" >"$CONFIG/win10.json"
}
promise "a daemon that stalls where the domain has no disk costs little, and holds no flag back" strangers_cost_little

dead_strangers_are_no_trouble() {
	start_fake dead
	kill -KILL "$(cat "$WORK/dead.pid")"
	hook release other-domain release end shutdown
	silent
	hook release win10 release end shutdown
	silent
	umount -l /srv/dead
	same "$(jq -c '[.disks[]["one-shot-commit"]]' "$CONFIG/win10.json")" '[false,true]'
	rm "$WORK/vm/answer.release"
	printf '%s\n' "$json" >"$CONFIG/win10.json"
	refuses grep -F "/srv/dead" "$LOG"
}
promise "a daemon that does not run where the domain has no disk is not its trouble" dead_strangers_are_no_trouble

# ---- a daemon that is stopped dead: who waits for it cannot be killed

stop_fake vm

stopped_dead() {
	HOOK_OPTIONS='--deadline 1' in_seconds 1 8 vetoed "'/srv/vm' did not answer within 1 s" prepare win10 prepare begin
}
promise "a daemon that is stopped dead costs the deadline and no more" stopped_dead

libvirts_pipes_are_let_go() {
	# As libvirt does: the reader of both pipes waits for their end.
	in_seconds 1 8 bash -c '"$@" 2>&1 | cat >/dev/null' - "$REVERTFS_HOOK" --config-dir "$CONFIG" --log "$LOG" \
		--deadline 1 win10 release end shutdown <"$XML/release.xml"
	pgrep -f "^$REVERTFS_HOOK .*--deadline 1" >"$WORK/left"
	# The child that is left has nothing but /dev/null, its pipe, and the control file it may be waiting for.
	local pid
	while read -r pid; do
		same "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" /dev/null
		(($(find "/proc/$pid/fd" -mindepth 1 | wc -l) <= 5))
	done <"$WORK/left"
}
promise "what is left behind does not hold libvirt's pipes" libvirts_pipes_are_let_go

unconfigured_domains_wait_shortly() {
	in_seconds 1 12 refuses hook release other-domain release end shutdown
	logged "other-domain: release (shutdown): the revertfs daemon of '/srv/vm' did not answer within 5 s"
	in_seconds 0 2 hook prepare other-domain prepare begin
}
promise "a domain without a configuration waits for a dead daemon at its end alone, and shortly" unconfigured_domains_wait_shortly

failed_starts_wait_shortly() {
	in_seconds 1 12 refuses hook release win10 release end failed
	logged "win10: release (failed): the revertfs daemon of '/srv/vm' did not answer within 5 s"
}
promise "the end of a failed start does not wait for a dead daemon once more" failed_starts_wait_shortly

other_events_do_not_wait() {
	in_seconds 0 2 hook prepare win10 reconnect begin
	in_seconds 0 2 hook prepare win10 stopped end
}
promise "other events do not notice a dead daemon" other_events_do_not_wait
kill -CONT "$(cat "$WORK/vm.pid")"
