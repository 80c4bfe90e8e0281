#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever filesystem the images lie on, an image with layers is known to daemons with another state directory: where it takes no xattrs,
# or no change at all, by a file beside the images, which none but root can have put there.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io getfattr

REAL=$IMAGES

# ---- what must be so everywhere

# The same name has another image on each filesystem, so each has a state directory of its own.
has_images() {
	stop_daemon
	rm -rf "$STATE" "$STATE".*
	IMAGES=$1
	start_daemon "${@:2}"
}

other_state() {
	stop_daemon
	mv "$STATE" "$STATE.first"
	start_daemon "$@"
}

first_state() {
	stop_daemon
	rm -rf "$STATE"
	mv "$STATE.first" "$STATE"
	start_daemon "$@"
}

marks() {
	getfattr --absolute-names -n trusted.revertfs --only-values "$IMAGES/d.img" 2>/dev/null || cat "$REAL"/.revertfs/mark-* "$IMAGES"/.revertfs/mark-* 2>/dev/null || :
}

commits() {
	make_image d.img raw 4M 1
	ctl 'protect d.img'
	ctl 'set d.img keep-revisions=9'
	[[ ! $(marks) ]]
	guest_write d.img 0 64k 2
	ctl 'commit d.img'
	[[ $(marks) == *$(cat "$STATE/id")* ]]
}

refused_elsewhere() {
	other_state "$@"
	ctl_fails EBUSY 'protect d.img' "'$STATE' of host '$(hostname)'"
	[[ $(ls "$MNT") != *revertfs* && $(status '.disks[].name') != *revertfs* ]]
	first_state "$@"
}

# Its layers are gone, and so is the mark.
gone() {
	ctl 'set d.img keep-revisions=0'
	ctl 'fold d.img'
	same "$(marks)" ""
	image_reads d.img raw 0 64k 2
}

everywhere() {
	has_images "$@"
	commits
	refused_elsewhere "${@:2}"
	gone
}

# ---- the filesystems

on_type() {
	if ! grep -qw "$1" /proc/filesystems && ! modprobe -q "$1"; then
		skip "an image with layers is marked on $1: the kernel has none"
	elif small_filesystem "$WORK/$1" "$2" "$1" 2>/dev/null; then
		promise "an image with layers is marked on $1" everywhere "$WORK/$1"
		stop_daemon
		umount "$WORK/$1"
	else
		skip "an image with layers is marked on $1: mkfs.$1 or loop mounts are missing"
	fi
}
on_type ext4 32M
on_type xfs 310M
on_type btrfs 120M

mkdir "$WORK/tmpfs" && mount -t tmpfs tmpfs "$WORK/tmpfs"
promise "an image with layers is marked on tmpfs" everywhere "$WORK/tmpfs"

# A filesystem without xattrs.
mkdir "$WORK/server" "$WORK/fuse" "$WORK/shared.control"
"$BUILD/tools/shared" "$WORK/server" "$WORK/shared.control" "$WORK/fuse" -o allow_other &&
	wait_until 20 mountpoint -q "$WORK/fuse" || fail "a FUSE filesystem"
without_xattrs() {
	REAL=$WORK/server
	has_images "$WORK/fuse" -o images-are-mine=yes
	make_image e.img raw 4M 1
	refuses setfattr -n trusted.revertfs -v x "$IMAGES/e.img"
	commits
	refused_elsewhere -o images-are-mine=yes -o protect='*'
	unreadable
	gone
}

# Where the mark cannot be read, nobody is known not to need the image.
unreadable() {
	touch "$WORK/shared.control/unread"
	guest_write d.img 0 64k 2
	ctl_fails EIO 'commit d.img' "image 'd.img': its mark" 'cannot be read, so nothing was done'
	other_state -o images-are-mine=yes
	ctl_fails EIO 'protect d.img' 'see to the filesystem of the images'
	rm "$WORK/shared.control/unread"
	first_state -o images-are-mine=yes
	ctl 'commit d.img'
}
promise "where the filesystem has no xattrs, a file beside the images is the mark, and nothing is done where it cannot be read" without_xattrs

# ---- one image

immutable() {
	local name
	has_images "$WORK/images"
	make_image i.img raw 4M 1
	chattr +i "$IMAGES/i.img"
	refuses setfattr -n trusted.revertfs -v x "$IMAGES/i.img"
	ctl 'protect i.img'
	ctl 'set i.img keep-revisions=9'
	guest_write i.img 0 64k 2
	ctl 'snapshot i.img one'
	same "$(jq -r .state "$IMAGES"/.revertfs/mark-*.json)" "$(cat "$STATE/id")"
	same "$(stat -c %U:%a "$IMAGES/.revertfs")" root:700
	other_state
	ctl_fails EBUSY 'protect i.img' 'another state directory'
	first_state
	ctl 'undo i.img'
	for name in $(status_of i.img '.layers[].names[]'); do ctl "delete i.img $name"; done
	same "$(find "$IMAGES/.revertfs" -name 'mark*')" ""
}
if touch "$WORK/immutable" && chattr +i "$WORK/immutable" 2>/dev/null; then
	chattr -i "$WORK/immutable"
	promise "so it is for an immutable image" immutable
	chattr -i "$WORK/images/i.img"
else
	skip "so it is for an immutable image: chattr +i does not work here"
fi

# Nobody can mark it, so nobody can fold into it either. What is committed is kept.
read_only() {
	mkdir "$WORK/ro"
	mount -t tmpfs tmpfs "$WORK/ro"
	IMAGES=$WORK/ro
	make_image d.img raw 4M 1
	mount -o remount,ro "$WORK/ro"
	has_images "$WORK/ro"
	ctl 'protect d.img'
	ctl 'set d.img keep-revisions=9'
	guest_write d.img 0 64k 2
	ctl 'commit d.img'
	guest_write d.img 0 64k 3
	ctl 'commit d.img'
	guest_reads d.img 0 64k 3
	same "$(grep -c "image 'd.img' cannot be marked" "$DAEMON_LOG")" 1
	# The next start marks it, when it can.
	stop_daemon
	mount -o remount,rw "$WORK/ro"
	start_daemon
	wait_until 20 marks_are_ours
}

marks_are_ours() {
	[[ $(marks) == *$(cat "$STATE/id")* ]]
}
promise "a commit over images that nothing can be written to is kept, with a warning, and the mark comes later" read_only

# ---- a user who was first

# The directory of images, and .revertfs in it, are a user's: what he writes there is believed by nobody.
a_user_was_first() {
	mkdir "$WORK/hostile"
	mount -t tmpfs tmpfs "$WORK/hostile"
	chown nobody "$WORK/hostile"
	has_images "$WORK/hostile"
	make_image d.img raw 4M 1
	make_image u.img raw 4M 1
	chattr +i "$IMAGES/d.img"
	ctl 'protect d.img'
	ctl 'set d.img keep-revisions=9'
	guest_write d.img 0 64k 2
	ctl 'commit d.img'
	mv "$IMAGES/.revertfs" "$WORK/hostile.revertfs"
	cp -r "$WORK/hostile.revertfs" "$IMAGES/.revertfs"
	chown -R nobody "$IMAGES/.revertfs"
	guest_write d.img 0 64k 3
	ctl 'commit d.img'
	grep -q "image 'd.img' cannot be marked.*not root's alone" "$DAEMON_LOG"
	guest_reads d.img 0 64k 3
	# What he says of root's images keeps nobody away.
	other_state
	ctl 'protect d.img'
	stop_daemon
}
if touch "$WORK/tmpfs/i" && chattr +i "$WORK/tmpfs/i" 2>/dev/null; then
	promise "a mark in a directory that is a user's is not believed" a_user_was_first
else
	skip "a mark in a directory that is a user's is not believed: no immutable files on tmpfs"
fi
