#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon looks at every image once it has started. One on a filesystem that does not answer keeps neither the
# work in the background of other disks from being done, nor the daemon from ending.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

export REVERTFS_DEBUG=job,disk
uuid=11111111-2222-3333-4444-555555555555
mount -t tmpfs tmpfs /etc/libvirt && mkdir -p /etc/libvirt/hooks/config || fail "/etc/libvirt can be mounted over"
JSON=/etc/libvirt/hooks/config/dom.json
make_image vm.qcow2 qcow2 1M 0x11
mkdir -p "$IMAGES/hung" "$WORK/told"
"$BUILD/tools/hanging" "$WORK/told" "$IMAGES/hung" -f -o allow_other >"$WORK/server.log" 2>&1 &
wait_until 10 mountpoint -q "$IMAGES/hung"
start_daemon || fail "the daemon starts"
for disk in vm.qcow2 "hung/disk.raw format=raw"; do
	ctl "protect $disk" >/dev/null || fail "protect $disk"
done

# Another version of the domain's file, as editors write it.
edit() {
	echo '{"disks":[{"target":"vda"}]}' >"$JSON.new"
	mv "$JSON.new" "$JSON"
}

starts_with_it() {
	stop_daemon
	: >"$DAEMON_LOG"
	touch "$WORK/told/open"
	start_daemon
}

logged() {
	wait_until 10 grep -F -- "$1" "$DAEMON_LOG"
}

others_go_on() {
	starts_with_it
	edit
	ctl "prepare $uuid domain=dom config=$(stat -c '%d:%i:%.9Y' "$JSON") vm.qcow2 target=vda source=$MNT/vm.qcow2 armed=no"
	guest_write vm.qcow2 0 64k 2
	edit
	logged "the file of domain 'dom' was edited while it runs"
	ctl "release $uuid domain=dom config= reason=shutdown vda source=$MNT/vm.qcow2 armed=no"
	ctl 'set vm.qcow2 keep-revisions=9'
	guest_write vm.qcow2 0 64k 3
	ctl 'commit vm.qcow2'
	logged "'vm.qcow2': the blank of its next layer is made ahead"
	logged "old files are closed"
}

# What the server has in hand the kernel waits for, even in a process that was killed; all but that thread is gone.
is_dead() {
	grep -q '^State:.*Z' "/proc/$1/status"
}

ends() {
	local pid
	pid=$(daemon_pid)
	daemon_runs
	! grep -F "the marks of the images are settled" "$DAEMON_LOG"
	kill -TERM "$pid"
	wait_until 20 is_dead "$pid"
	refuses mountpoint -q "$MNT"
	rm "$WORK/told/open"
	wait_for_daemon
}
promise "edits of domains' files are noticed, old files closed and blanks made ahead while an image hangs" others_go_on
promise "... and the daemon ends" ends

options=(-o images-are-mine=yes)

# The fold has written its layer down, and looks at the image last of all.
others_write_their_records() {
	export FAULT_PLAN=$WORK/plan FAULT_TRACE=$WORK/trace
	PROGRAM=$REVERTFS_FAULTS start_daemon "${options[@]}"
	exec 5<>"$IMAGES/hung/disk.raw" # so that the fold waits
	guest_write hung/disk.raw 0 64k 2
	ctl 'commit hung/disk.raw'
	ctl 'snapshot vm.qcow2 before'
	echo "hold 1 write $STATE/layers $(status_of hung/disk.raw '.layers[] | select(.parent | not) | .id').json" >"$WORK/plan"
	exec 5>&-
	ctl 'fold hung/disk.raw' >"$WORK/answer" &
	wait_until 20 grep -q ': here$' "$WORK/trace"
	touch "$WORK/told/getattr"
	rm "$WORK/plan"
	wait_until 20 waits_for_the_image
	timeout -s KILL "$((20 * SLOW))" bash -c "echo 'snapshot vm.qcow2 beside' >'$MNT/.revertfs/control'"
	[[ ! -s $WORK/answer ]]
	rm "$WORK/told/getattr"
	wait $!
	same "$(<"$WORK/answer")" '{"ok":true}'
	stop_daemon
}

waits_for_the_image() {
	cat "/proc/$(daemon_pid)/task/"*/stack | grep -q request_wait_answer
}
promise "a fold whose image hangs at its end keeps no other disk from being changed" others_write_their_records

waiting_threads() {
	cat "/proc/$(daemon_pid)/task/"*/stack | grep -c request_wait_answer
}

# Who asks for it again and again has one thread wait, and no more.
status_answers() {
	: >"$DAEMON_LOG"
	start_daemon "${options[@]}"
	logged "the marks of the images are settled"
	touch "$WORK/told/getattr"
	for _ in 1 2 3; do
		timeout -s KILL "$((20 * SLOW))" "$REVERTCTL" --mount="$MNT" status hung/disk.raw >&2
	done
	same "$(waiting_threads)" 1
	timeout -s KILL "$((20 * SLOW))" bash -c "echo 'reset vm.qcow2' >'$MNT/.revertfs/control'"
	rm "$WORK/told/getattr"
	stop_daemon
}
promise "the status of a disk whose image hangs is answered, and has no more than one thread wait for it" status_answers
rm -f "$WORK/told/"* # else a broken promise would hold up the end
