#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image is the file, not its name and not its inode number: images that are moved, swapped, replaced, removed and made anew do what their
# administrator expects, or one sentence names the other disk and a way out that works as it stands.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io mkfs.ext4 losetup

truncate -s 200M "$WORK/fs"
mkfs.ext4 -q "$WORK/fs" && mount -o loop "$WORK/fs" "$IMAGES" || fail "a filesystem that gives an inode number again"
start_daemon || fail "the daemon starts"

uuid=00000000-0000-4000-8000-000000000001
begins() {
	ctl "prepare $uuid domain=d1 $MNT/$1 target=vda" >&2
}
ends() {
	ctl "release $uuid domain=d1 reason=shutdown vda source=$MNT/$1" >&2
}
runs_and_reads() {
	begins "$1"
	guest_reads "$1" 0 1M "$2"
	ends "$1"
}
commits() {
	guest_write "$1" "$2" 64k "$3"
	ctl "commit $1" >&2
}
log_says() {
	grep -q "$1" "$WORK"/daemon*.log
}

rotated() {
	make_image gold.qcow2 qcow2 8M 1
	ctl "protect gold.qcow2"
	mv "$IMAGES/gold.qcow2" "$IMAGES/gold-old.qcow2"
	make_image gold.qcow2 qcow2 8M 2
	runs_and_reads gold-old.qcow2 1
	runs_and_reads gold.qcow2 2
	runs_and_reads gold-old.qcow2 1
	# Each is a disk of its own now.
	commits gold-old.qcow2 0 3
	ctl "fold gold-old.qcow2"
	guest_reads gold.qcow2 0 1M 2
	same "$(qemu-io -U -r -f qcow2 -c 'read -P 3 0 64k' "$IMAGES/gold-old.qcow2" | grep -c failed)" 0
}

into_a_directory() {
	make_image moved.qcow2 qcow2 8M 4
	ctl "protect moved.qcow2"
	mkdir "$IMAGES/sub"
	mv "$IMAGES/moved.qcow2" "$IMAGES/sub/"
	runs_and_reads sub/moved.qcow2 4
	ctl_fails ENOENT "reset moved.qcow2" "cannot be reached"
	ctl "unprotect moved.qcow2"
	guest_write sub/moved.qcow2 0 64k 5
	ctl "reset sub/moved.qcow2"
}

# The disk that lost the file to another one notices what that one did with it.
comes_back_changed() {
	make_image back.qcow2 qcow2 8M 6
	ctl "protect back.qcow2"
	mv "$IMAGES/back.qcow2" "$IMAGES/away.qcow2"
	ctl "protect away.qcow2"
	log_says "disk 'back.qcow2': its image was moved, and is now 'away.qcow2'"
	ctl "set away.qcow2 keep-revisions=3"
	commits away.qcow2 0 7
	mv "$IMAGES/away.qcow2" "$IMAGES/back.qcow2"
	ctl_fails EEXIST "reset back.qcow2" "that of the disk 'away.qcow2'" "unprotect away.qcow2 force=yes"
	ctl "unprotect away.qcow2 force=yes"
	ctl "reset back.qcow2"
	guest_reads back.qcow2 0 1M 6
}

moved_with_layers() {
	make_image layered.qcow2 qcow2 8M 1
	ctl "protect layered.qcow2"
	ctl "set layered.qcow2 keep-revisions=3"
	commits layered.qcow2 0 2
	mv "$IMAGES/layered.qcow2" "$IMAGES/elsewhere.qcow2"
	ctl_fails EEXIST "protect elsewhere.qcow2" "that of the disk 'layered.qcow2'" "move it back to 'layered.qcow2'"
	! begins elsewhere.qcow2 || return 1
	# Nor can it be written through the mount.
	! qemu-io -f qcow2 -c 'write -P 9 0 64k' "$MNT/elsewhere.qcow2" || return 1
	mv "$IMAGES/elsewhere.qcow2" "$IMAGES/layered.qcow2"
	runs_and_reads layered.qcow2 2 || guest_reads layered.qcow2 0 64k 2
}

swapped() {
	local name
	for name in a b; do
		make_image "$name.qcow2" qcow2 8M "$([ $name = a ] && echo 1 || echo 2)"
		ctl "protect $name.qcow2"
	done
	mv "$IMAGES/a.qcow2" "$IMAGES/t" && mv "$IMAGES/b.qcow2" "$IMAGES/a.qcow2" && mv "$IMAGES/t" "$IMAGES/b.qcow2"
	runs_and_reads a.qcow2 2
	runs_and_reads b.qcow2 1
	runs_and_reads a.qcow2 2
}

swapped_with_layers() {
	ctl "set b.qcow2 keep-revisions=3"
	commits b.qcow2 0 3
	mv "$IMAGES/a.qcow2" "$IMAGES/t" && mv "$IMAGES/b.qcow2" "$IMAGES/a.qcow2" && mv "$IMAGES/t" "$IMAGES/b.qcow2"
	ctl_fails EEXIST "reset a.qcow2" "that of the disk 'b.qcow2'"
	ctl_fails EBUSY "reset b.qcow2" "layers of the disk 'b.qcow2'" "set b.qcow2 image=new"
	mv "$IMAGES/a.qcow2" "$IMAGES/t" && mv "$IMAGES/b.qcow2" "$IMAGES/a.qcow2" && mv "$IMAGES/t" "$IMAGES/b.qcow2"
	ctl "reset a.qcow2"
	ctl "reset b.qcow2"
	guest_reads b.qcow2 0 64k 3
}

# Before anything is given up it is known that the other file can be taken.
both_needed() {
	local name
	for name in p q; do
		make_image "$name.qcow2" qcow2 8M "$([ $name = p ] && echo 1 || echo 2)"
		ctl "protect $name.qcow2"
		ctl "set $name.qcow2 keep-revisions=3"
		commits "$name.qcow2" 0 3
	done
	mv "$IMAGES/p.qcow2" "$IMAGES/t" && mv "$IMAGES/q.qcow2" "$IMAGES/p.qcow2" && mv "$IMAGES/t" "$IMAGES/q.qcow2"
	ctl_fails EEXIST "set p.qcow2 image=new" "that of the disk 'q.qcow2'"
	mv "$IMAGES/p.qcow2" "$IMAGES/t" && mv "$IMAGES/q.qcow2" "$IMAGES/p.qcow2" && mv "$IMAGES/t" "$IMAGES/q.qcow2"
	guest_reads p.qcow2 0 64k 3
	guest_reads p.qcow2 64k 64k 1
	ctl "reset p.qcow2"
}

# A protect that is refused changes nothing for the disk that had the file.
refused_protect() {
	make_image r.qcow2 qcow2 8M 1
	ctl "protect r.qcow2"
	mv "$IMAGES/r.qcow2" "$IMAGES/r2.qcow2"
	exec {writer}<>"$IMAGES/r2.qcow2"
	ctl_fails EBUSY "protect r2.qcow2" "open for writing"
	exec {writer}>&-
	mv "$IMAGES/r2.qcow2" "$IMAGES/r.qcow2"
	guest_write r.qcow2 0 64k 2
	ctl "commit r.qcow2"
}

# The number of a removed image is given to the next file, which nobody has protected.
number_given_again() {
	local inode
	make_image removed.qcow2 qcow2 8M 1
	ctl "protect removed.qcow2"
	inode=$(stat -c %i "$IMAGES/removed.qcow2")
	stop_daemon
	rm "$IMAGES/removed.qcow2"
	start_daemon
	qemu-img create -q -f qcow2 "$MNT/other.qcow2" 8M
	same "$(stat -c %i "$IMAGES/other.qcow2")" "$inode"
	qemu-io -f qcow2 -c 'write -P 5 0 64k' "$MNT/other.qcow2" | grep -q wrote
	runs_and_reads other.qcow2 0 || guest_reads other.qcow2 0 64k 5
	ctl "unprotect removed.qcow2"
	qemu-img create -q -f qcow2 "$MNT/removed.qcow2" 8M
	runs_and_reads removed.qcow2 0
}

# A backup has another inode number, birth and handle.
restored() {
	make_image kept.qcow2 qcow2 8M 1
	ctl "protect kept.qcow2"
	ctl "set kept.qcow2 keep-revisions=3"
	commits kept.qcow2 0 2
	cp -a "$IMAGES/kept.qcow2" "$WORK/backup"
	rm "$IMAGES/kept.qcow2"
	mv "$WORK/backup" "$IMAGES/kept.qcow2"
	ctl_fails EBUSY "reset kept.qcow2" "its image was replaced" "'set kept.qcow2 image=unchanged'"
	ctl "set kept.qcow2 image=as-is"
	ctl "reset kept.qcow2"
	guest_reads kept.qcow2 0 64k 2
	guest_reads kept.qcow2 64k 64k 1
	qemu-img resize -q -f qcow2 "$IMAGES/kept.qcow2" 16M
	ctl_fails EINVAL "set kept.qcow2 image=unchanged" "its content is not the same" "set kept.qcow2 image=as-is"
	ctl "set kept.qcow2 image=as-is"
	guest_reads kept.qcow2 0 64k 2
}

old_record() {
	local record
	make_image old.qcow2 qcow2 8M 1
	ctl "protect old.qcow2"
	stop_daemon
	record=$(grep -l '"image": *"old.qcow2"' "$STATE"/layers/*.json)
	grep -q '"identity"' "$record"
	jq 'del(.identity)' "$record" >"$WORK/record" && cat "$WORK/record" >"$record"
	start_daemon
	grep -q '"identity": *"handle:ext-' "$record"
	ctl "reset old.qcow2"
}

promise "a golden image that is rotated: each name begins with its own file" rotated
promise "an image that is moved into a directory starts there" into_a_directory
promise "an image that comes back from another disk is noticed, and the other disk is named" comes_back_changed
promise "an image that was moved and is needed is nobody else's" moved_with_layers
promise "two images that are swapped are swapped" swapped
promise "two images that are swapped are not, where layers stand on one" swapped_with_layers
promise "... and neither is given up where both are needed" both_needed
promise "a protect of a moved image that is refused leaves the other disk as it was" refused_protect
promise "a new file with the inode number of a removed image belongs to nobody" number_given_again
promise "a restored backup is bound again, with what stands on it" restored
promise "the record of an older build gets an identity at its first start" old_record
