#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a power cycle costs on the daemon's side: resets, sessions and commits through the control file, against the one
# `qemu-img create` of an overlay that a renaming hook or <transient/> needs each time.
. "$BENCHLIB"

make_image disk.qcow2 qcow2 20G
start_daemon || exit 1
control=$MNT/.revertfs/control
# A few other disks, as a host has them.
for i in 1 2 3 4 5 6 7 8; do
	make_image "other$i.img" raw 1G
	ctl "protect other$i.img" >/dev/null
done
ctl 'protect disk.qcow2' >/dev/null || exit 1

uuid=0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90
prepare="prepare $uuid domain=win10 config=1:2 disk.qcow2 target=vda source=$MNT/disk.qcow2"
release="release $uuid domain=win10 config=1:2 reason=shutdown vda source=$MNT/disk.qcow2"

# Few in a row: ext4 gives no inode number away that was in use in the last five seconds, and looks the longer for another one.
resets() {
	stopwatch write 20 "$control" 'reset disk.qcow2'
}

# The end of a session in which the guest wrote about 4 MiB, to be thrown away.
dirty_releases() {
	local times=()
	for _ in 1 2 3 4 5; do
		stopwatch write 1 "$control" "$prepare" >/dev/null
		qemu_io -f qcow2 -c 'write -q -P 1 0 4M' "$MNT/disk.qcow2"
		times+=("$(stopwatch write 1 "$control" "$release")")
	done
	printf '%s\n' "${times[@]}" | sort -n | sed -n 3p
}

sessions() {
	stopwatch write 10 "$control" "$prepare" "$release"
}

creates() {
	stopwatch run 10 /dev/null qemu-img create -q -f qcow2 -b "$IMAGES/disk.qcow2" -F qcow2 "$WORK/overlay.qcow2"
}

heading "One power cycle, daemon's side, against one 'qemu-img create' of an overlay"
rounds reset resets dirty dirty_releases session sessions create creates
compare "reset" reset create 50
compare "release (reset) after 4 MiB of writes" dirty create ""
compare "prepare and release (reset)" session create ""
