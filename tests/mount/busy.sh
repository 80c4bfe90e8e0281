#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Many at once: files and disks are read and written by several processes with no byte wrong, and a command that waits keeps
# nobody else waiting, can be interrupted, and is answered when the daemon ends.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

make_image d.img raw 64M 1
make_image e.img raw 64M 2
start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null && ctl 'protect e.img' >/dev/null || fail "the images can be protected"
control=$MNT/.revertfs/control

threads() {
	find "/proc/$(daemon_pid)/task" -mindepth 1 -maxdepth 1 | wc -l
}
threads_at_first=$(threads)

# writer NUMBER: a file of its own, written in pieces from several offsets, compared with a model outside of the mount.
writer() {
	local n=$1 i offset
	RANDOM=$n
	truncate -s 4M "$MNT/file$n" "$WORK/model$n"
	for i in $(seq 30); do
		offset=$((RANDOM * 127 % 4000000))
		head -c $((RANDOM + 1)) /dev/urandom >"$WORK/piece$n"
		dd if="$WORK/piece$n" of="$MNT/file$n" bs=64k oflag=seek_bytes seek=$offset conv=notrunc status=none
		dd if="$WORK/piece$n" of="$WORK/model$n" bs=64k oflag=seek_bytes seek=$offset conv=notrunc status=none
	done
	cmp "$MNT/file$n" "$WORK/model$n"
}

# everyone COMMAND COUNT: as many of them at once; all must end well.
everyone() {
	local pids=() n failed=0
	for n in $(seq "$2"); do
		(set -e; "$1" "$n") &
		pids+=($!)
	done
	for n in "${pids[@]}"; do
		wait "$n" || failed=1
	done
	((failed == 0))
}
promise "eight processes that write files of their own read back what they wrote" everyone writer 8

storm() {
	local n=$1 i
	mkdir -p "$MNT/storm"
	for i in $(seq 70); do
		echo "$n $i" >"$MNT/storm/new.$n"
		mv "$MNT/storm/new.$n" "$MNT/storm/shared.$((i % 7))"
		ln -f "$MNT/storm/shared.$((i % 7))" "$MNT/storm/link.$n" 2>/dev/null || :
		mkdir "$MNT/storm/dir.$n" && rmdir "$MNT/storm/dir.$n"
		rm -f "$MNT/storm/link.$n"
	done
	grep -qE '^[1-8] [0-9]+$' "$MNT/storm/shared.$((n % 7))"
}
promise "eight processes that create, rename, link and remove get no error but what they earn" everyone storm 8

appender() {
	local n=$1 i
	for i in $(seq 100); do
		echo "line $n $i" >>"$MNT/appended"
	done
}
appended() {
	everyone appender 6
	same "$(sort -u "$MNT/appended" | wc -l)" 600
	same "$(grep -cE '^line [1-6] [0-9]+$' "$MNT/appended")" 600
}
promise "lines that six processes append all arrive, whole" appended

guest() {
	local n=$1 i offset
	for i in $(seq 20); do
		offset=$(((n * 8 + i % 8) * 1048576))
		qemu-io -f qcow2 -t none -i native -c "write -q -P $((n * 20 + i)) $offset 1M" -c "read -q -P $((n * 20 + i)) $offset 1M" \
			"$MNT/$([[ $n == 1 ]] && echo d.img || echo e.img)" >"$WORK/guest$n" 2>&1 || return
		! grep -q "failed" "$WORK/guest$n" || return
	done
}
promise "two guests write two disks at once" everyone guest 2

resets_and_files() {
	local i
	(for i in $(seq 100); do ctl 'reset d.img' >/dev/null || exit 1; done) &
	local resetter=$!
	everyone writer 4
	wait "$resetter"
	guest_reads d.img 0 64M 1
}
promise "resets go on beside other work" resets_and_files

# A writer on a disk makes a reset wait for two seconds before it is refused: as many disks, as many commands that wait.
waiting_commands() {
	local i pids=() before refused
	mkdir "$IMAGES/many"
	for i in $(seq 150); do
		truncate -s 1M "$IMAGES/many/$i"
		echo "protect many/$i format=raw" >"$control"
	done
	# shellcheck disable=SC2034 # they stay open
	for i in $(seq 150); do
		exec {descriptor}<>"$MNT/many/$i"
	done
	before=$(milliseconds)
	for i in $(seq 150); do
		(echo "reset many/$i" >"$control") 2>>"$WORK/answers" &
		pids+=($!)
	done
	echo x >"$MNT/beside"
	cat "$MNT/beside" "$MNT/.revertfs/status" >/dev/null
	guest_reads e.img 0 1M 2
	echo "$(($(milliseconds) - before)) ms for the others" >&2
	[[ $(jobs -pr) ]] # some of them wait still
	for i in "${pids[@]}"; do
		wait "$i" && return 1
	done
	refused=$(grep -c "Resource temporarily unavailable" "$WORK/answers" || :)
	echo "$refused of 150 were refused for being too many" >&2
	same "$(grep -cE 'Resource temporarily unavailable|Device or resource busy' "$WORK/answers")" 150
}
promise "many commands that wait keep nobody else waiting, and each is answered" waiting_commands

interrupted() {
	local pid started
	exec 9<>"$MNT/d.img"
	started=$(milliseconds)
	bash -c "echo 'reset d.img' >'$control'" 2>/dev/null &
	pid=$!
	sleep 0.2
	kill -KILL $pid
	wait $pid 2>/dev/null || :
	(($(milliseconds) - started < 6000 * SLOW))
	exec 9>&-
	ctl 'reset d.img'
}
promise "a command whose caller is killed comes to an end" interrupted

no_thread_is_left() {
	no_more_threads() {
		(($(threads) <= threads_at_first))
	}
	wait_until 20 no_more_threads
}
promise "the threads of commands are gone when they are done" no_thread_is_left

answered_at_the_end() {
	local pid
	exec 9<>"$MNT/d.img"
	bash -c "echo 'reset d.img' >'$control'" 2>/dev/null &
	pid=$!
	sleep 0.2
	kill -TERM "$(daemon_pid)"
	wait_for_daemon
	! wait $pid || return 1
	exec 9>&-
	tail -n 3 "$DAEMON_LOG" | grep -qE "ending: process [0-9]+ \(uid 0\) sent Terminated"
	start_daemon
	ctl 'reset d.img'
	guest_reads d.img 0 64M 1
}
promise "a command that waits while the daemon ends is answered, and the daemon ends" answered_at_the_end

stop_daemon || fail "the daemon ends"
