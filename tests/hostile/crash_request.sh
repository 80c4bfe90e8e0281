#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A request that crashes the daemon crashes its successor once more, and is then answered with an error: all other disks go on.
# Kills never count. A keeper that is told to end does, whatever its daemons do.
. "$TESTLIB"
# shellcheck source=tests/hostile/lib.sh
. "$TESTS/hostile/lib.sh"
# shellcheck source=tests/fault/lib.sh
. "$TESTS/fault/lib.sh"

for disk in vm other; do make_image $disk.qcow2 qcow2 16M 1; done
cp "$REVERTFS_FAULTS" "$WORK/revertfs"
export PROGRAM=$WORK/revertfs
START=start_kept start_attacked -o "protect=*.qcow2"

# A kernel before 6.9 sends nothing again: there the caller has its error from the kernel, or waits.
grep -q "cannot be sent again" "$DAEMON_LOG" && { skip "crash_request: the kernel does not send requests again"; exit 0; }

# crashes HOW: `set` takes a fault at its first durable step in each daemon, as long as the plan is there.
crashes() {
	local before
	before=$(status .restarts)
	plan "$1 1 disk.json.new $STATE/disks/vm.qcow2 disk.json" # which no start does
	# shellcheck disable=SC2016 # the member's shell expands it
	as_member bash -c 'echo "set vm.qcow2 keep-revisions=3" >"$1"' crashes "$MNT/.revertfs/control" 2>"$WORK/error" && return 1
	grep "Input/output error" "$WORK/error"
	same "$(status .restarts)" $((before + 2))
	grep "a request (opcode 16, 'set vm.qcow2 keep-revisions=3', uid $MEMBER) has crashed the daemon 2 times" "$DAEMON_LOG"
	ctl "reset other.qcow2"
	guest_reads vm.qcow2 0 1M 1
	heal
	ctl "set vm.qcow2 keep-revisions=3"
	ctl "set vm.qcow2 keep-revisions=0"
	same "$(status .restarts)" $((before + 2))
}
# ASan takes a SIGSEGV for itself, and makes a report of it.
((SLOW > 1)) || promise "a command that faults is answered with an error by the third daemon" crashes crash
promise "... and so is one that aborts" crashes abort

# Ten daemons die in the middle of one export; of signals that were sent, also those by which a fault ends a daemon.
kills_do_not_count() {
	local signal old
	ctl "export vm.qcow2 to=$OUT/copy format=raw rate=4M" >"$WORK/answer" &
	exporting() { [[ $(status_of vm.qcow2 '.transfers | length') != 0 || $(status_of vm.qcow2 .job.state) == running ]]; }
	wait_until 20 exporting
	for signal in KILL ABRT KILL ABRT KILL ABRT KILL KILL KILL KILL; do
		old=$(serving_pid)
		kill -"$signal" "$old"
		wait_until 20 another_serves "$old"
	done
	wait $!
	same "$(jq .ok "$WORK/answer")" true
	test -s "$OUT/copy"
}
promise "an export over ten daemons that were killed ends well" kills_do_not_count

# From here on each daemon dies at once, and somebody waits for an answer.
the_keeper_ends() {
	local keeper reader
	keeper=$(daemon_pid)
	printf '#!/bin/sh\nkill -SEGV $$\n' >"$WORK/dies"
	chmod +x "$WORK/dies"
	mv "$WORK/dies" "$PROGRAM"
	kill -KILL "$(serving_pid)"
	cat "$MNT/.revertfs/status" >/dev/null 2>&1 &
	reader=$!
	tries() { (($(grep -c "ended by a signal (Segmentation fault)" "$DAEMON_LOG") >= $1)); }
	wait_until 20 tries 2
	kill -TERM "$keeper"
	wait_until 10 daemon_is_gone
	refuses wait "$reader"
	grep "the daemon died instead of unmounting: the keeper ends" "$DAEMON_LOG"
}
promise "a keeper whose daemons die ends when it is told to, and nobody waits on" the_keeper_ends
