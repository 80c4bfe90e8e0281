#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The filesystem of the state directory, or that of the images, is full: the command or the guest gets ENOSPC, the content is what it
# was, and when there is space again the same command works.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io mkfs.ext4 losetup
losetup -f >/dev/null 2>&1 || { skip "full: no loop devices"; exit 0; }
uuid=11111111-2222-3333-4444-555555555555

small_filesystem "$STATE" 24M && small_filesystem "$IMAGES" 24M || { skip "full: no loop mounts"; exit 0; }
make_image a.img raw 8M
qemu_io -f raw -c "write -q -P 1 0 1M" "$IMAGES/a.img" # the rest is a hole
cp --sparse=always "$IMAGES/a.img" "$WORK/before.raw"
start_daemon -o reserve=0 || fail "the daemon starts"

fill() {
	dd if=/dev/zero of="$1/filler" bs=64k status=none || :
	dd if=/dev/zero of="$1/filler2" bs=1k status=none || :
}

empty() {
	rm -f "$1"/filler "$1"/filler2
}

protect_full() {
	fill "$STATE"
	ctl_fails ENOSPC 'protect a.img'
	same "$(status '.disks | length')" 0
	empty "$STATE"
	ctl 'protect a.img'
	guest_reads a.img 0 1M 1
}
promise "protect with a full state directory is refused, and works when there is space" protect_full

# The first commit writes it.
id_cannot_be_written() {
	guest_write a.img 0 64k 2
	mkdir "$STATE/id.new"
	ctl_fails EISDIR 'commit a.img' "nothing was sealed: the state directory '$STATE' cannot be written: "
	rmdir "$STATE/id.new"
	ctl 'reset a.img'
}
promise "a commit that cannot write the state directory's id says so, and not of the image" id_cannot_be_written

guest_full() {
	guest_write a.img 0 64k 2
	fill "$STATE"
	refuses qemu-io -f qcow2 -c "write -P 3 1M 4M" "$MNT/a.img"
	says "No space left on device"
	guest_reads a.img 0 64k 2
	cmp "$IMAGES/a.img" "$WORK/before.raw"
	# A commit needs a few blocks; if there are none it is refused, and what the guest wrote stays.
	if ! ctl 'commit a.img' >"$WORK/answer"; then
		jq -e '.errno == "ENOSPC"' "$WORK/answer"
		# It is not the image's filesystem that is full.
		cat "$WORK/answer" >&2
		jq -e '.error | contains("image cannot be marked") | not' "$WORK/answer"
	fi
	guest_reads a.img 0 64k 2
	empty "$STATE"
	ctl 'commit a.img'
	ctl 'fold a.img'
	image_reads a.img raw 0 64k 2
	guest_reads a.img 64k 960k 1
}
promise "a guest that fills the state directory gets ENOSPC; what it had written can be committed later" guest_full

reset_full() {
	guest_write a.img 0 64k 3
	fill "$STATE"
	ctl 'reset a.img' || ctl_fails ENOSPC 'reset a.img'
	empty "$STATE"
	ctl 'reset a.img'
	guest_reads a.img 0 64k 2
	check_scratch a.img
}
promise "a reset with a full state directory works or is refused with ENOSPC, and works later" reset_full

prepare_full() {
	fill "$STATE"
	if ctl "prepare $uuid domain=d a.img target=vda armed=yes" >"$WORK/answer"; then
		ctl "release $uuid reason=destroyed vda"
	else
		jq -e '.errno == "ENOSPC" and (.error | contains("a.img"))' "$WORK/answer"
	fi
	same "$(status_of a.img '.session')" null
	empty "$STATE"
	ctl "prepare $uuid domain=d a.img target=vda armed=yes"
	guest_write a.img 128k 64k 4
	ctl "release $uuid domain=d reason=shutdown vda armed=yes"
	ctl 'fold a.img'
	image_reads a.img raw 128k 64k 4
}
promise "prepare with a full state directory is refused with ENOSPC, and works later" prepare_full

# What was committed does not fit into the image's filesystem: it stays in its layer, through which everything reads right.
fold_full() {
	guest_write a.img 2M 4M 5
	fill "$IMAGES"
	ctl 'commit a.img'
	ctl_fails ENOSPC 'fold a.img' "its content is safe, and the fold is tried again"
	guest_reads a.img 2M 4M 5
	guest_reads a.img 0 64k 2
	same "$(status_of a.img .folding)" true
	[[ $(status_of a.img .last_error) == *"No space left on device"* ]]
	restart_daemon
	guest_reads a.img 2M 4M 5
	guest_write a.img 1M 64k 6
	ctl 'commit a.img'
	guest_reads a.img 1M 64k 6
	empty "$IMAGES"
	ctl 'fold a.img'
	image_reads a.img raw 2M 4M 5
	image_reads a.img raw 1M 64k 6
	image_reads a.img raw 0 64k 2
	same "$(status_of a.img '.layers | length')" 1
	same "$(status_of a.img .last_error)" null
}
promise "a fold into a full filesystem says so, loses nothing, and goes on when there is space" fold_full

on_full_images() {
	fill "$IMAGES"
	refuses dd if=/dev/zero of="$MNT/new" bs=1M count=1
	says "No space left on device"
	rm -f "$MNT/new"
	guest_write a.img 0 64k 7
	ctl 'reset a.img'
	guest_reads a.img 0 64k 2
	empty "$IMAGES"
}
promise "a full images directory is no trouble for sessions" on_full_images

stop_daemon || fail "the daemon ends"
