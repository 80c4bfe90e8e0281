#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A stop takes the disks of running guests away, and says whose. Where systemd keeps the mount, only process 1 stops: whoever else
# sends SIGTERM gets another daemon in the old one's place, and no guest notices. tools/manager.py is systemd here.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io python3 nsenter unshare

uuid=11111111-2222-3333-4444-555555555555
for disk in a b c; do make_image $disk.img raw 2M 1; done

# managed [--no-store]: a daemon whose systemd is process 1 of a pid namespace of theirs. What is written to descriptor 9 are signals.
# The leak sanitizer looks for the daemon's threads in /proc, which is that of another namespace: other tests look for leaks.
managed() {
	rm -f "$WORK/notify" "$WORK/signals"
	mkfifo "$WORK/signals"
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 \
		unshare --pid --fork --kill-child python3 "$TESTS/tools/manager.py" "$WORK/notify" "$@" \
		"$REVERTFS" -f -o state="$STATE" -o passthrough="${PASSTHROUGH:-auto}" -o 'protect=*.img' "$IMAGES" "$MNT" \
		<"$WORK/signals" >"$WORK/messages" 2>>"$DAEMON_LOG" &
	echo $! >"$WORK/manager.pid"
	exec 9>"$WORK/signals"
	wait_until 20 status .pid
}

# As one of the namespace's own, but not process 1 there.
somebody_sends() {
	nsenter --pid="/proc/$(pgrep -P "$(cat "$WORK/manager.pid")")/ns/pid" bash -c "kill -$1 $(inner_pid)"
}

inner_pid() {
	awk '/^NSpid:/ { print $NF }' "/proc/$(pgrep -f -n "^$REVERTFS -f")/status"
}

another_in_charge() {
	grep -q "^ended 75$" "$WORK/messages" && (($(status .restarts) == $1))
}

a_guest() {
	coproc GUEST { exec qemu-io -f qcow2 "$MNT/$1" 2>&1; }
	guest_answers
}

guest_answers() {
	local answer
	read -rt 20 -d '>' answer <&"${GUEST[0]}"
	[[ ! ${answer%qemu-io} =~ [^[:space:]] ]] || { echo "$answer" >&2; return 1; }
}

guest() {
	echo "$1" >&"${GUEST[1]}"
	guest_answers
}

has_ended() {
	grep -q "^ended 0$" "$WORK/messages"
}

warned() {
	grep -F "$1" "$DAEMON_LOG" >&2
}

by_somebody() {
	managed
	ctl "prepare $uuid domain=web1 a.img target=vda" >/dev/null
	a_guest a.img
	guest 'write -q -P 2 0 64k'
	somebody_sends TERM
	wait_until 20 another_in_charge 1
	warned "sent Terminated; the mount is left to the next daemon"
	guest 'read -q -P 2 0 64k'
	somebody_sends TERM # also of a daemon that has taken the mount over
	wait_until 20 another_in_charge 2
	guest 'read -q -P 2 0 64k'
	refuses warned "the mount goes"
	echo TERM >&9
	wait_until 20 has_ended
	refuses mountpoint -q "$MNT"
	warned "the mount goes while domain 'web1' has its disk 'a.img' (vda) open"
	same "$(grep -c 'the mount goes' "$DAEMON_LOG")" 1
}
promise "a SIGTERM of somebody is not noticed by a guest; one of process 1 unmounts, with a warning that names the domain" by_somebody

from_above() {
	managed
	kill -TERM "$(pgrep -f -n "^$REVERTFS -f")"
	wait_until 20 has_ended
	refuses mountpoint -q "$MNT"
}
promise "who stands above process 1, as a container's manager, is obeyed too" from_above

without_a_store() {
	managed --no-store
	somebody_sends TERM
	wait_until 20 has_ended
	refuses mountpoint -q "$MNT"
}
promise "where nobody keeps the descriptors, SIGTERM unmounts, whoever sends it" without_a_store

without_systemd() {
	: >"$DAEMON_LOG"
	start_daemon
	a_guest b.img
	exec 7<"$MNT/c.img"
	stop_daemon
	warned "the mount goes while disk 'b.img' is open"
	refuses warned "'a.img'"
	exec 7<&-
}
promise "a disk that is open without a session is warned of as well" without_systemd

with_a_keeper() {
	: >"$DAEMON_LOG"
	start_kept
	stop_daemon
	refuses warned "the mount goes"
	refuses mountpoint -q "$MNT"
}
promise "a keeper's SIGTERM is an order; a stop under which nobody loses a disk warns of nothing" with_a_keeper
