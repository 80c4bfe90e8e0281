#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk as a file in the mount: QEMU opens, reads and writes it in every way it knows; a reset puts another file under the
# name while those who have the old one open keep it; the name, the image and the views behind it cannot be harmed.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io setpriv

# A filesystem of its own for the state shows, by its free space, what a reset gives back.
small_filesystem "$WORK/own" 400M || { skip "disk_file: no loop mounts"; exit 0; }
STATE=$WORK/own/state

make_image d.img raw 64M 1
make_image q.qcow2 qcow2 64M 2
mkdir "$IMAGES/dir" && make_image dir/e.img raw 8M 3
start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null && ctl 'protect q.qcow2' >/dev/null && ctl 'protect dir/e.img' >/dev/null ||
	fail "the images can be protected"
views=$MNT/.revertfs/images

# qemu-io with one cache mode and one kind of asynchronous I/O.
every_kind_of_io() {
	local cache aio name=$1
	for cache in none writeback writethrough directsync; do
		for aio in threads native io_uring; do
			[[ $aio != native || $cache == none || $cache == directsync ]] || continue
			ctl "reset $name" >/dev/null
			qemu_io -f qcow2 -t "$cache" -i "$aio" -d unmap -c "read -q -P $2 1M 1M" -c "write -q -P 9 1M 300k" \
				-c "write -q -P 10 20M 64k" -c "discard 1M 128k" -c "write -q -z 30M 1M" -c "flush" \
				-c "aio_write -q -P 11 40M 1M" -c "aio_write -q -P 12 41M 1M" -c "aio_flush" "$MNT/$name"
			qemu_io -f qcow2 -c "read -q -P 9 1179648 128k" -c "read -q -P 10 20M 64k" -c "read -q -P 0 30M 1M" \
				-c "read -q -P 11 40M 1M" -c "read -q -P 12 41M 1M" -c "read -q -P $2 50M 1M" "$MNT/$name"
			check_scratch "$name"
		done
	done
}
promise "QEMU's I/O works with every cache mode and kind of asynchronous I/O, on raw" every_kind_of_io d.img 1
promise "and on qcow2" every_kind_of_io q.qcow2 2

the_image_is_untouched() {
	image_reads d.img raw 0 64M 1
	image_reads q.qcow2 qcow2 0 64M 2
}
promise "none of it reached the images" the_image_is_untouched

# The view of a disk's image, as headers name it.
view_of() {
	echo "$MNT/.revertfs/layers/$(status_of "$1" '.layers[] | select(.parent == null).id').backing_file.img"
}

the_chain_is_in_the_mount() {
	same "$(qemu-img info --backing-chain --output=json "$MNT/d.img" | jq -r '.[].filename')" "$MNT/d.img
$(view_of d.img)"
	cmp "$(view_of d.img)" "$views/d.img"
	same "$(qemu-img info --output=json "$MNT/d.img" | jq -r '."backing-filename-format"')" raw
	same "$(qemu-img info --output=json "$MNT/dir/e.img" | jq -r '."backing-filename"')" "$(view_of dir/e.img)"
}
promise "the header names the view of the image, with its format" the_chain_is_in_the_mount

a_new_file_under_the_name() {
	local before i
	for i in $(seq 100); do
		before=$(stat -c %i "$MNT/d.img")
		ctl 'reset d.img' >/dev/null
		[[ $(stat -c %i "$MNT/d.img") != "$before" ]]
	done
	guest_write d.img 0 1M 5
	ctl 'reset d.img'
	guest_reads d.img 0 1M 1
}
promise "after a reset the name leads to another file, at once" a_new_file_under_the_name

old_readers_keep_the_old() {
	guest_write d.img 2M 1M 6
	exec 9<"$MNT/d.img"
	local inode sum
	inode=$(stat -Lc %i /proc/self/fd/9)
	sum=$(checksum "$MNT/d.img")
	ctl 'reset d.img'
	same "$(sha256sum <&9 | cut -d ' ' -f 1)" "$sum"
	same "$(stat -Lc %i "/proc/$BASHPID/fd/9")" "$inode"
	[[ $(stat -c %i "$MNT/d.img") != "$inode" ]]
	exec 9<&-
	guest_reads d.img 2M 1M 1
}
promise "who reads the old file goes on reading it after a reset" old_readers_keep_the_old

the_space_comes_back() {
	local before
	before=$(df --output=used -B1 "$STATE" | tail -n 1)
	guest_write d.img 0 32M 7
	stat "$MNT/d.img" >/dev/null
	(($(df --output=used -B1 "$STATE" | tail -n 1) > before + (24 << 20)))
	ctl 'reset d.img'
	back() {
		(($(df --output=used -B1 "$STATE" | tail -n 1) < before + (8 << 20)))
	}
	wait_until 10 back
}
promise "a reset gives the space back though nobody looks at the name again" the_space_comes_back

a_writer_holds_a_reset_off() {
	exec 9<>"$MNT/d.img"
	ctl_fails EBUSY 'reset d.img' "open for writing"
	exec 9>&-
	ctl 'reset d.img'
}
promise "an open writer, and not a reader, holds a reset off" a_writer_holds_a_reset_off

opens_never_go_stale() {
	local i
	(while :; do ctl 'reset d.img' >/dev/null 2>&1; done) &
	local resetter=$!
	for i in $(seq 500); do
		head -c 4 "$MNT/d.img" >"$WORK/head" || { kill $resetter; echo "open $i failed" >&2; return 1; }
		same "$(head -c 3 "$WORK/head")" QFI
	done
	kill $resetter
	wait $resetter 2>/dev/null || :
}
promise "opening while it is being reset finds the one or the other" opens_never_go_stale

the_name_stays() {
	touch "$MNT/other"
	local command
	for command in "rm -f $MNT/d.img" "mv -T $MNT/d.img $MNT/moved" "mv -T $MNT/other $MNT/d.img" \
		"ln $MNT/d.img $MNT/link" "ln -f $MNT/other $MNT/d.img" "mv --exchange $MNT/other $MNT/d.img"; do
		# shellcheck disable=SC2086
		refuses $command
	done
	refuses mkdir "$MNT/d.img"
	says "File exists"
	refuses ln -s x "$MNT/d.img"
	refuses rmdir "$MNT/d.img"
	says "Not a directory"
	refuses bash -c "set -C; echo x >'$MNT/d.img'"
	same "$(stat -c %F "$MNT/d.img")" "regular file"
	[[ ! -e $MNT/moved && ! -e $MNT/link ]]
	guest_reads d.img 0 64M 1
}
promise "a disk's name cannot be removed, renamed, linked or replaced (EPERM)" the_name_stays

the_directory_above_stays() {
	mkdir "$MNT/empty"
	refuses mv "$MNT/dir" "$MNT/dir2"
	says "Device or resource busy"
	refuses mv -T "$MNT/empty" "$MNT/dir"
	refuses rmdir "$MNT/dir"
	says "Device or resource busy"
	rm -rf "$MNT/dir" 2>/dev/null || :
	guest_reads dir/e.img 0 8M 3
	mkdir "$MNT/dir/below" && mv "$MNT/dir/below" "$MNT/dir/beside" && rmdir "$MNT/dir/beside"
}
promise "a directory above a disk is neither renamed nor removed (EBUSY)" the_directory_above_stays

moved_directories() {
	mkdir -p "$MNT/m1/deep"
	make_image m1/deep/x.img raw 1M 4
	mv "$MNT/m1" "$MNT/m2"
	ctl 'protect m2/deep/x.img'
	same "$(qemu-img info --output=json "$MNT/m2/deep/x.img" | jq -r .format)" qcow2
	refuses mv "$MNT/m2" "$MNT/m1"
	ctl 'unprotect m2/deep/x.img'
	mv "$MNT/m2" "$MNT/m1"
	same "$(qemu-img info --output=json "$MNT/m1/deep/x.img" | jq -r .format)" raw
}
promise "a directory that was renamed is known by its new path" moved_directories

by_another_name() {
	ln "$IMAGES/dir/e.img" "$IMAGES/alias"
	same "$(head -c 8 "$MNT/alias" | od -An -tx1 | tr -d ' ')" 0303030303030303
	local before
	before=$(stat -c '%s %a %u:%g %Y' "$IMAGES/dir/e.img")
	local command
	for command in "truncate -s 0 $MNT/alias" "chmod 777 $MNT/alias" "chown 1 $MNT/alias" "touch $MNT/alias" \
		"setfattr -n user.x -v y $MNT/alias" "dd if=/dev/zero of=$MNT/alias conv=notrunc count=1"; do
		# shellcheck disable=SC2086
		refuses $command
		says "Read-only file system"
	done
	refuses ln "$MNT/alias" "$MNT/alias2"
	says "Operation not permitted"
	same "$(stat -c '%s %a %u:%g %Y' "$IMAGES/dir/e.img")" "$before"
	rm "$MNT/alias"
	[[ ! -e $IMAGES/alias && -e $IMAGES/dir/e.img ]]
}
promise "a protected image under another name can be read, and nothing else" by_another_name

listings() {
	same "$(ls "$MNT/dir")" e.img
	same "$(find "$MNT" -name '*.img' -type f | wc -l)" "$(find "$IMAGES" -name '*.img' -type f | wc -l)"
	same "$(find "$MNT" -maxdepth 1 -name d.img -printf '%i')" "$(stat -c %i "$MNT/d.img")"
	same "$(find "$views" -type f -printf '%P\n' | sort | tr '\n' ' ')" "d.img dir/e.img q.qcow2 "
	mv "$IMAGES/dir/e.img" "$IMAGES/dir/gone"
	same "$(find "$MNT/dir" -mindepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "e.img gone "
	mv "$IMAGES/dir/gone" "$IMAGES/dir/e.img"
}
promise "disks are listed once, as regular files, also while their image is away" listings

views_cannot_be_changed() {
	local before view=$views/d.img
	before=$(stat -c '%s %a %u:%g %Y %Z' "$IMAGES/d.img")
	same "$(stat -c %a "$view")" 444
	cmp "$view" "$IMAGES/d.img"
	local command
	for command in "truncate -s 0 $view" "truncate -s 100M $view" "touch $view" \
		"dd if=/dev/zero of=$view conv=notrunc count=1" "fallocate -l 1M $view"; do
		# shellcheck disable=SC2086
		refuses $command
		says "Read-only file system"
	done
	for command in "rm -f $view" "mv $view $views/moved" "ln $view $MNT/link"; do
		# shellcheck disable=SC2086
		refuses $command
		says "Operation not permitted"
	done
	for name in user.a trusted.a security.a trusted.libvirt.security.dac; do
		refuses setfattr -n "$name" -v x "$view"
		says "Operation not supported"
		refuses getfattr -n "$name" "$view"
		says "Operation not supported"
	done
	chown 64055:64055 "$view"
	same "$(stat -c '%u:%g' "$view")" 64055:64055
	same "$(stat -c '%s %a %u:%g %Y %Z' "$IMAGES/d.img")" "$before"
}
promise "a view is read-only for everybody; chown is believed and changes nothing" views_cannot_be_changed

read_as_qemu_does() {
	chown 65534:65534 "$MNT/d.img" "$views/d.img" && chmod 600 "$MNT/d.img"
	setpriv --reuid 65534 --regid 65534 --clear-groups qemu-io -f qcow2 -c "read -q -P 1 0 64M" -c "write -q -P 8 0 1M" \
		"$MNT/d.img" >&2
	refuses setpriv --reuid 65533 --regid 65533 --clear-groups head -c 1 "$MNT/d.img"
	says "Permission denied"
	image_reads d.img raw 0 64M 1
	ctl 'reset d.img'
}
promise "QEMU under its own user reads and writes what libvirt has labelled" read_as_qemu_does

labels_are_the_scratchs() {
	local before
	before=$(stat -c '%a %u:%g' "$IMAGES/d.img")
	chown 7:8 "$MNT/d.img" && chmod 640 "$MNT/d.img"
	setfattr -n trusted.libvirt.security.dac -v +0:+0 "$MNT/d.img"
	same "$(getfattr --only-values -n trusted.libvirt.security.dac "$MNT/d.img" 2>/dev/null)" +0:+0
	same "$(stat -c '%a %u:%g' "$MNT/d.img")" "640 7:8"
	same "$(stat -c '%a %u:%g' "$IMAGES/d.img")" "$before"
	refuses getfattr -n trusted.libvirt.security.dac "$IMAGES/d.img"
	ctl 'reset d.img'
	same "$(stat -c '%a %u:%g' "$MNT/d.img")" "$before"
}
promise "chown, chmod and xattrs on a disk are its scratch's, and end with it" labels_are_the_scratchs

locks_exclude() {
	local qemu
	mkfifo "$WORK/commands"
	qemu-io -f qcow2 "$MNT/d.img" <"$WORK/commands" >"$WORK/first" 2>&1 &
	qemu=$!
	exec 9>"$WORK/commands"
	wait_until 20 grep -q "qemu-io>" "$WORK/first"
	refuses qemu-io -f qcow2 -c "write 0 512" "$MNT/d.img"
	says 'Failed to get "write" lock'
	exec 9>&-
	wait $qemu
	qemu-io -f qcow2 -c "write 0 512" "$MNT/d.img" >&2
}
promise "a second QEMU that writes is refused by QEMU's own locks" locks_exclude

holes_and_copies() {
	ctl 'reset d.img'
	qemu_io -f qcow2 -c "write -q -P 3 8M 1M" "$MNT/d.img"
	qemu-img convert -f qcow2 -O raw "$MNT/d.img" "$WORK/flat"
	qemu-img compare -q -f qcow2 -F raw "$MNT/d.img" "$WORK/flat"
	cp --sparse=always "$MNT/d.img" "$WORK/copy"
	cmp "$MNT/d.img" "$WORK/copy"
	cp "$MNT/d.img" "$MNT/copy-in-the-mount"
	cmp "$MNT/d.img" "$IMAGES/copy-in-the-mount"
	qemu-img convert -C -f raw -O raw "$views/d.img" "$MNT/copy-of-view"
	cmp "$IMAGES/d.img" "$IMAGES/copy-of-view"
	rm "$MNT/copy-in-the-mount" "$MNT/copy-of-view"
}
promise "copies out of the mount and within it, holes included, are exact" holes_and_copies

protecting_what_is_known() {
	make_image late.img raw 1M 4
	exec 8<"$MNT/late.img"
	stat "$MNT/late.img" >/dev/null
	exec 8<&-
	ctl 'protect late.img'
	echo x >"$MNT/late.img" 2>/dev/null || :
	image_reads late.img raw 0 1M 4
	same "$(stat -c %s "$IMAGES/late.img")" $((1 << 20))
	ctl 'reset late.img' || :
	rm -f "$MNT/late.img" 2>/dev/null && return 1
	make_image busy.img raw 1M 4
	exec 8<>"$MNT/busy.img"
	ctl_fails EBUSY 'protect busy.img'
	echo still >&8
	exec 8>&-
	same "$(head -c 5 "$IMAGES/busy.img")" still
}
promise "a file that the kernel knew before it was protected is protected, one that is open for writing is not" \
	protecting_what_is_known

# Truncating a disk is a write like any other: only to the scratch.
truncating() {
	ctl 'reset d.img'
	: >"$MNT/d.img"
	same "$(stat -c %s "$MNT/d.img")" 0
	same "$(stat -c %s "$IMAGES/d.img")" $((64 << 20))
	same "$(status_of d.img .state)" dirty
	ctl 'reset d.img'
	guest_reads d.img 0 64M 1
}
promise "truncating a disk harms its scratch alone, until the next reset" truncating

stop_daemon || fail "the daemon ends"
