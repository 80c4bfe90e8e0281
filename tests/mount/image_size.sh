#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk that was made larger while it ran (virsh blockresize, vol-resize, qemu-img resize through the mount) is kept, at its new size, wherever
# what is in it would have been kept; and a size that the image can never have is refused while nothing has been lost.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=11111111-2222-3333-4444-555555555555
start_daemon || fail "the daemon starts"

# grown NAME: the session's disk, which the guest then writes behind its old end.
grown() {
	qemu-img resize -q -f qcow2 "$MNT/$1" 12M
	qemu_io -f qcow2 -c 'write -q -P 0x22 10M 1M' "$MNT/$1"
}

prepare() {
	ctl "prepare $uuid domain=d $*"
}

release() {
	ctl "release $uuid domain=d $*"
}

size_of() {
	qemu-img info -U --output=json -f "${2:-qcow2}" "$1" | jq '."virtual-size"'
}

new_disk() {
	make_image "$1" "$2" 8M 0x11
	ctl "protect $1"
}

committed() {
	local name=$1 format=$2
	new_disk "$name" "$format"
	prepare "$name target=vda armed=yes"
	grown "$name"
	release reason=shutdown vda armed=yes | jq -e '.disks[0].action == "committed"'
	same "$(size_of "$MNT/$name")" $((12 << 20))
	same "$(status_of "$name" .virtual_size)" $((12 << 20))
	ctl "fold $name"
	same "$(size_of "$IMAGES/$name" "$format")" $((12 << 20))
	image_reads "$name" "$format" 10M 1M 0x22
	image_reads "$name" "$format" 0 8M 0x11
	restart_daemon
	guest_reads "$name" 10M 1M 0x22
	ctl "reset $name"
	same "$(ls "$STATE/lost")" ""
}

one_of_two() {
	new_disk one.img raw
	new_disk two.img raw
	prepare one.img target=vda armed=yes two.img target=vdb armed=yes
	grown one.img
	guest_write two.img 0 64k 0x33
	release reason=shutdown vda armed=yes vdb armed=yes
	same "$(size_of "$MNT/one.img")" $((12 << 20))
	same "$(size_of "$MNT/two.img")" $((8 << 20))
	guest_reads one.img 10M 1M 0x22
	guest_reads two.img 0 64k 0x33
}

# All that is in it is its size.
size_alone() {
	new_disk empty.img raw
	qemu-img resize -q -f qcow2 "$MNT/empty.img" 12M
	ctl 'commit empty.img'
	ctl 'fold empty.img'
	same "$(size_of "$IMAGES/empty.img" raw)" $((12 << 20))
	image_reads empty.img raw 8M 4M 0
}

aside() {
	local name point
	new_disk aside.img raw
	prepare aside.img target=vda armed=yes
	grown aside.img
	release reason=crashed vda armed=yes
	same "$(size_of "$MNT/aside.img")" $((8 << 20))
	point=$(status_of aside.img '[.layers[].names[]][0]')
	ctl "revert aside.img $point"
	same "$(size_of "$MNT/aside.img")" $((12 << 20))
	guest_reads aside.img 10M 1M 0x22
}

left_without_a_session() {
	new_disk left.img raw
	grown left.img
	prepare left.img target=vda | jq -e '.disks[0].point | startswith("unhooked-")'
	same "$(size_of "$MNT/left.img")" $((8 << 20))
	release reason=shutdown vda
}

snapshot_and_undo() {
	new_disk point.img raw
	ctl 'set point.img keep-revisions=5'
	grown point.img
	ctl 'snapshot point.img big'
	same "$(size_of "$MNT/point.img")" $((12 << 20))
	ctl 'undo point.img'
	same "$(size_of "$MNT/point.img")" $((8 << 20))
	ctl 'revert point.img big'
	guest_reads point.img 10M 1M 0x22
}

live_snapshot() {
	new_disk live.img raw
	prepare live.img target=vda
	grown live.img
	ctl 'snapshot live.img now live=yes'
	same "$(status_of live.img '.layers[] | select(.names == ["now"]) | .virtual_size')" $((12 << 20))
	release reason=shutdown vda
	same "$(size_of "$MNT/live.img")" $((8 << 20))
	ctl 'revert live.img now'
	guest_reads live.img 10M 1M 0x22
}

held() {
	new_disk held.img raw
	prepare held.img target=vda
	grown held.img
	release reason=saved vda
	ctl "announce $uuid"
	prepare held.img target=vda | jq -e '.disks[0].action == "resumed"'
	same "$(size_of "$MNT/held.img")" $((12 << 20))
	guest_reads held.img 10M 1M 0x22
	release reason=shutdown vda armed=yes
	ctl 'fold held.img'
	image_reads held.img raw 10M 1M 0x22
}

thrown_away() {
	new_disk reset.img raw
	prepare reset.img target=vda
	grown reset.img
	release reason=shutdown vda
	same "$(size_of "$MNT/reset.img")" $((8 << 20))
	guest_reads reset.img 0 8M 0x11
}

shrunk() {
	new_disk less.img raw
	qemu-img resize -q -f qcow2 --shrink "$MNT/less.img" 4M
	ctl_fails EBADMSG 'commit less.img' 'not shrink'
	cmp -n 4096 "$IMAGES/less.img" "$IMAGES/reset.img"
	ctl 'reset less.img'
	guest_reads less.img 0 8M 0x11
}

# Nobody reads the answer but the hook, which logs it: so the status has it, too.
lost_and_said() {
	prepare less.img target=vda armed=yes
	qemu-img resize -q -f qcow2 --shrink "$MNT/less.img" 4M
	ctl_fails EBADMSG "release $uuid domain=d reason=shutdown vda armed=yes" 'not shrink'
	prepare less.img target=vda >"$WORK/answer"
	jq -r '.disks[0].warning' "$WORK/answer" | grep -F "moved to lost/$(ls "$STATE/lost")"
	same "$(status_of less.img .last_error)" "$(jq -r '.disks[0].warning' "$WORK/answer")"
	release reason=shutdown vda
}

# ---- what no image can be

# QEMU enlarges it as compat 1.1 alone.
old_format_with_snapshots() {
	qemu-img create -q -f qcow2 -o compat=0.10 "$IMAGES/old.qcow2" 8M
	qemu-io -f qcow2 -c 'write -q -P 0x11 1M 1M' "$IMAGES/old.qcow2"
	qemu-img snapshot -c one "$IMAGES/old.qcow2"
	ctl 'protect old.qcow2'
	ctl 'set old.qcow2 size=12M'
	guest_write old.qcow2 10M 1M 0x22
	ctl 'commit old.qcow2'
	ctl 'fold old.qcow2'
	image_reads old.qcow2 qcow2 10M 1M 0x22
	image_reads old.qcow2 qcow2 1M 1M 0x11
	qemu-img check -q -f qcow2 "$IMAGES/old.qcow2"
	same "$(qemu-img info --output=json "$IMAGES/old.qcow2" | jq -r '."format-specific".data.compat')" 1.1
	cp "$IMAGES/old.qcow2" "$WORK/old.qcow2"
	qemu-img snapshot -a one "$WORK/old.qcow2"
	same "$(qemu-img info --output=json "$WORK/old.qcow2" | jq '."virtual-size"')" $((8 << 20))
}

# One that needs not grow is left as it is.
old_format_that_stays() {
	qemu-img create -q -f qcow2 -o compat=0.10 "$IMAGES/stays.qcow2" 8M
	qemu-img snapshot -c one "$IMAGES/stays.qcow2"
	ctl 'protect stays.qcow2'
	guest_write stays.qcow2 1M 1M 0x22
	ctl 'commit stays.qcow2'
	ctl 'fold stays.qcow2'
	image_reads stays.qcow2 qcow2 1M 1M 0x22
	same "$(qemu-img info --output=json "$IMAGES/stays.qcow2" | jq -r '."format-specific".data.compat')" 0.10
}

bitmaps() {
	qemu-img create -q -f qcow2 "$IMAGES/bitmap.qcow2" 8M
	qemu-img bitmap --add "$IMAGES/bitmap.qcow2" nightly
	cp "$IMAGES/bitmap.qcow2" "$IMAGES/used.qcow2"
	qemu-io -f qcow2 -c 'write -q 0 64k' -c 'sigraise 9' "$IMAGES/used.qcow2" || :
	ctl 'protect bitmap.qcow2'
	ctl 'protect used.qcow2'
	ctl_fails EOPNOTSUPP 'set used.qcow2 size=12M' 'bitmap that is in use' "'qemu-img bitmap --remove' removes it, then 'set used.qcow2 image=unchanged'"
	qemu-img bitmap --remove "$IMAGES/used.qcow2" nightly
	ctl 'set used.qcow2 image=unchanged'
	ctl 'set used.qcow2 size=12M'
	ctl 'set bitmap.qcow2 size=12M'
	ctl 'fold bitmap.qcow2'
	same "$(size_of "$IMAGES/bitmap.qcow2")" $((12 << 20))
}

# Files on this filesystem have 4 TiB at most.
no_file_is_that_large() {
	mkdir "$IMAGES/ext4" && small_filesystem "$IMAGES/ext4" 16M || return 0
	truncate -s 8M "$IMAGES/ext4/huge.img"
	ctl 'protect ext4/huge.img'
	ctl_fails EOPNOTSUPP 'set ext4/huge.img size=5T' 'its filesystem has no files that large'
	qemu-img resize -q -f qcow2 "$MNT/ext4/huge.img" 5T
	guest_write ext4/huge.img 0 64k 0x22
	ctl 'commit ext4/huge.img'
	ctl_fails EOPNOTSUPP 'fold ext4/huge.img' 'its filesystem has no files that large'
	same "$(status_of ext4/huge.img .folding)" false
	ctl 'undo ext4/huge.img'
	ctl 'set ext4/huge.img size=16M'
	same "$(size_of "$MNT/ext4/huge.img")" $((16 << 20))
}

# ---- raw images that end within a sector

end_within_a_sector() {
	truncate -s 8389000 "$IMAGES/odd.img"
	head -c 392 /dev/zero | tr '\0' U | dd of="$IMAGES/odd.img" bs=1 seek=8388608 conv=notrunc status=none
	cp "$IMAGES/odd.img" "$IMAGES/other.img"
	ctl 'protect odd.img'
	ctl 'protect other.img'
	qemu_io -r -f qcow2 -c 'read -q -P 0x55 8388608 392' -c 'read -q -P 0 8389000 120' "$MNT/odd.img"
	qemu_io -n -t none -f qcow2 -c 'write -q -P 0x22 8388608 512' "$MNT/odd.img"
	ctl 'commit odd.img'
	ctl 'fold odd.img'
	image_reads odd.img raw 8388608 512 0x22
}

untouched_end() {
	guest_write other.img 1M 64k 0x33
	ctl 'commit other.img'
	ctl 'fold other.img'
	same "$(stat -c %s "$IMAGES/other.img")" 8389000
	same "$(tail -c 392 "$IMAGES/other.img" | tr -d U)" ''
	ctl 'set other.img size=10M'
	guest_write other.img 9M 1M 0x44
	ctl 'commit other.img'
	ctl 'fold other.img'
	qemu_io -r -f raw -c 'read -q -P 0x55 8388608 392' -c 'read -q -P 0 8389000 1000' -c 'read -q -P 0x44 9M 1M' "$IMAGES/other.img"
}

promise "a raw disk that grew in an armed session is committed, and its image grows" committed c.img raw
promise "a qcow2 disk that grew in an armed session is committed, and its image grows" committed c.qcow2 qcow2
promise "of two disks of a domain one may have grown" one_of_two
promise "a disk that grew and was not written grows" size_alone
promise "what is sealed aside keeps its size, and the head has its own" aside
promise "so does what was written without a session" left_without_a_session
promise "a snapshot has the new size, and the commits before it their own" snapshot_and_undo
promise "so has a live snapshot" live_snapshot
promise "a saved guest is resumed on the size it had, and its commit has it too" held
promise "a reset takes the size back" thrown_away
promise "a disk that shrank is not committed" shrunk
promise "what goes to lost/ is said in the answer to the next start, and in the status" lost_and_said
promise "an image of compat 0.10 with internal snapshots grows, and keeps them" old_format_with_snapshots
promise "... and is left as it is where it need not" old_format_that_stays
promise "set size= says that an image with a bitmap in use cannot grow, and one with another bitmap does" bitmaps
promise "a size that the image's filesystem has no files of is refused in the same way" no_file_is_that_large
promise "the last sector of a raw image that ends within one can be read and written" end_within_a_sector
promise "a raw image that ends within a sector keeps its size and its end, until it grows" untouched_end
