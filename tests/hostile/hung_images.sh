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
rm -f "$WORK/told/"* # else a broken promise would hold up the end
