#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# By what an image is known on each kind of filesystem, and that it is the same after the filesystem was mounted again; a copy that replaces it,
# with its bytes, its size and its time, is another file.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

identity() {
	jq -r .identity "$(grep -l '"image": *"vm.img"' "$STATE"/layers/*.json)"
}

# known MOUNT AGAIN PATTERN: commands that mount the images' filesystem, at first and once more; what an identity on it looks like.
known() {
	local first
	"$1" || return
	make_image vm.img raw 4M 1
	start_daemon -o images-are-mine=yes
	ctl 'protect vm.img'
	ctl 'set vm.img keep-revisions=3'
	guest_write vm.img 0 64k 2
	ctl 'commit vm.img'
	first=$(identity)
	[[ $first =~ ^$3$ ]] || { echo "'$first' is not $3" >&2; return 1; }
	stop_daemon
	"$2" "$1"
	start_daemon
	ctl 'reset vm.img'
	same "$(identity)" "$first"
	guest_reads vm.img 0 64k 2
	cp -a "$IMAGES/vm.img" "$IMAGES/copy" && mv "$IMAGES/copy" "$IMAGES/vm.img"
	[[ $3 != null ]] || touch "$IMAGES/vm.img" # all that can tell
	ctl_fails EBUSY 'reset vm.img' "outside revertfs"
	ctl 'set vm.img image=as-is'
	guest_reads vm.img 0 64k 2
	ctl 'unprotect vm.img force=yes' # else the image says to whom its layers belong
	stop_daemon
	umount "$IMAGES"
	rm -rf "$STATE"
}

on() {
	mount -o loop "$WORK/$1" "$IMAGES"
}
ext4() { truncate -s 64M "$WORK/ext4" && mkfs.ext4 -q "$WORK/ext4" && on ext4; }
xfs() { truncate -s 320M "$WORK/xfs" && mkfs.xfs -q "$WORK/xfs" && on xfs; }
btrfs() { truncate -s 160M "$WORK/btrfs" && mkfs.btrfs -q "$WORK/btrfs" && on btrfs; }
again() { umount "$IMAGES" && on "$1"; }
in_memory() { mount -t tmpfs -o size=64M tmpfs "$IMAGES"; }

promise "ext4: by file handle and filesystem" known ext4 again 'handle:ext-[0-9a-f]{16}:[0-9]+:[0-9a-f]+'
if command -v mkfs.xfs >/dev/null; then
	promise "XFS: by file handle and filesystem" known xfs again 'handle:xfs-[0-9a-f]{32}:[0-9]+:[0-9a-f]+'
else
	skip "XFS: mkfs.xfs is missing"
fi
if command -v mkfs.btrfs >/dev/null && grep -qw btrfs /proc/filesystems; then
	promise "btrfs: by file handle and filesystem" known btrfs again 'handle:btrfs-[0-9a-f]{16}:[0-9]+:[0-9a-f]+'
else
	skip "btrfs: the kernel or mkfs.btrfs has none"
fi
promise "tmpfs: by inode number and birth" known in_memory true 'birth:[0-9]+:[0-9]+\.[0-9]{9}'

# A FUSE filesystem's handles mean nothing once it is mounted again, and are not looked at.
served() {
	mkdir -p "$WORK/under" "$WORK/told"
	"$BUILD/tools/shared" "$WORK/under" "$WORK/told" "$IMAGES" -f -o allow_other >"$WORK/server.log" 2>&1 &
	wait_until 10 mountpoint -q "$IMAGES"
}
served_again() {
	umount "$IMAGES" && wait && served
}
promise "FUSE: by name, inode number, size and time alone" known served served_again 'null'

nobodys() {
	served
	make_image vm.img raw 4M 1
	start_daemon -o images-are-mine=yes
	ctl 'protect vm.img'
	stop_daemon
	mv "$IMAGES/vm.img" "$IMAGES/other.img" # the record has its inode number
	make_image vm.img raw 4M 1
	start_daemon
	qemu-io -f raw -c 'write -P 3 0 64k' "$MNT/other.img" | grep -q wrote
	ctl 'protect other.img'
	guest_reads other.img 0 64k 3
	ctl 'reset vm.img'
	guest_reads vm.img 0 64k 1
	stop_daemon
	umount "$IMAGES"
}
promise "... where a number alone proves nothing about another file" nobodys
