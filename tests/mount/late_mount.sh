#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The images' filesystem is mounted later than it should be: no daemon serves what lies beneath, and a restart finds it.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

mkdir "$WORK/mnt2"
small_filesystem "$WORK/disk" 64M || fail "a filesystem on a loop device"
umount "$WORK/disk"

mount_images() {
	mount -o loop "$WORK/disk.fs" "$IMAGES"
}

# ---- no image was recorded yet: the empty directory is served

started_too_early() {
	start_kept
	mount_images
	make_image vm.img raw 4M 1
	[[ ! -e $MNT/vm.img ]]
	kill_serving
	cmp "$MNT/vm.img" "$IMAGES/vm.img"
	ctl 'protect vm.img'
	guest_write vm.img 0 64k 2
	ctl 'set vm.img keep-revisions=1'
	ctl 'commit vm.img'
	# The next one is given the same directory, and so on.
	kill_serving
	guest_reads vm.img 0 64k 2
	refuses timeout 20 "$REVERTFS" -f -o state="$WORK/state2" "$IMAGES" "$WORK/mnt2"
	says "another revertfs serves the images directory"
}
promise "a restart serves the filesystem that was mounted over the empty images directory" started_too_early || exit

# ---- images were recorded

waits_for_them() {
	stop_daemon
	umount "$IMAGES"
	cp -a "$STATE" "$WORK/state.before"
	refuses timeout 20 "$REVERTFS" -f -o state="$STATE" "$IMAGES" "$MNT"
	says "none of the images that the state directory '$STATE' knows, such as 'vm.img', is in '$IMAGES': is its filesystem mounted?"
	same "$(cd "$STATE" && find . -type f ! -name lock -exec sha256sum {} + | sort)" \
		"$(cd "$WORK/state.before" && find . -type f ! -name lock -exec sha256sum {} + | sort)"
	mount_images
	start_daemon
	guest_reads vm.img 0 64k 2
}
promise "where all images that it knows are gone no daemon starts, until they are there" waits_for_them

# In the filesystem that they were in nobody asks whether it is mounted.
removed() {
	stop_daemon
	mv "$IMAGES/vm.img" "$WORK/vm.img"
	start_daemon
	same "$(status_of vm.img .state)" failed
	make_image other.img raw 4M 5
	ctl 'protect other.img'
	ctl 'unprotect other.img'
	rm "$IMAGES/other.img"
	stop_daemon
	mv "$WORK/vm.img" "$IMAGES/vm.img"
	start_daemon
	guest_reads vm.img 0 64k 2
}
promise "where they were removed from their filesystem, it starts, and their disks have failed" removed

# What the refusal says to do.
removed_for_good() {
	local way_out
	stop_daemon
	umount "$IMAGES"
	refuses timeout 20 "$REVERTFS" -f -o state="$STATE" "$IMAGES" "$MNT"
	way_out=$(sed -n 's/.*away first: //p' "$WORK/refusal")
	same "${way_out%% *}" mv
	bash -c "$way_out"
	start_daemon
	same "$(status '.disks | length')" 0
	stop_daemon
	rm -r "$STATE"
	mv "$STATE.old" "$STATE"
	mount_images
	start_daemon
	guest_reads vm.img 0 64k 2
}
promise "... and the way out that this says works, and back" removed_for_good

one_of_two() {
	make_image two.img raw 4M 1
	ctl 'protect two.img'
	stop_daemon
	mv "$IMAGES/vm.img" "$WORK/vm.img"
	start_daemon
	same "$(status_of vm.img .state)" failed
	guest_reads two.img 0 64k 1
	stop_daemon
	mv "$WORK/vm.img" "$IMAGES/vm.img"
}
promise "one that is gone fails alone" one_of_two

# ---- guests run

# What a guest stands on is not exchanged, nor does a restart refuse it.
guests_keep_theirs() {
	start_kept
	guest_write two.img 64k 64k 5
	exec 8<>"$MNT/two.img"
	mkdir "$WORK/beneath"
	mount --bind "$IMAGES" "$WORK/beneath"
	mount -t tmpfs none "$IMAGES"
	kill_serving
	guest_reads two.img 64k 64k 5
	guest_reads two.img 0 64k 1
	grep "'$IMAGES' is another directory than the one that is served" "$DAEMON_LOG"
	umount "$IMAGES"
	mv "$IMAGES/vm.img" "$IMAGES/two.img" "$WORK/beneath/lost+found"
	kill_serving
	same "$(head -c 4096 <&8 | wc -c)" 4096
	mv "$IMAGES/lost+found/"*.img "$IMAGES"
	exec 8>&-
	kill_serving
	guest_reads two.img 64k 64k 5
}
promise "under guests a restart keeps the directory that they use, and says that it is another" guests_keep_theirs

# A directory within, over which something is mounted later.
within() {
	mkdir "$IMAGES/sub"
	[[ -d $MNT/sub ]]
	mount -t tmpfs none "$IMAGES/sub"
	make_image sub/vm.img raw 4M 7
	cmp "$MNT/sub/vm.img" "$IMAGES/sub/vm.img"
	ctl 'protect sub/vm.img'
	guest_write sub/vm.img 0 64k 8
	kill_serving
	guest_reads sub/vm.img 0 64k 8
	ctl 'commit sub/vm.img'
	ctl 'fold sub/vm.img'
	image_reads sub/vm.img raw 0 64k 8
	ctl 'unprotect sub/vm.img'
	umount -l "$IMAGES/sub"
	[[ -d $MNT/sub && ! -e $MNT/sub/vm.img ]]
}
promise "what is mounted over a directory within is served at once" within

# The mount lies over the directory, which so cannot be looked at.
over_itself() {
	stop_daemon
	MNT=$IMAGES start_kept
	MNT=$IMAGES kill_serving
	MNT=$IMAGES guest_reads two.img 64k 64k 5
	kill -TERM "$(daemon_pid)"
	wait_until 20 daemon_is_gone
	[[ ! -e $IMAGES/.revertfs/control && -e $IMAGES/two.img ]]
}
promise "... also where the mount lies over it" over_itself

# ---- the unit

# generated CONFIGURATION: the drop-in of the service that has this configuration, or nothing.
generated() {
	rm -rf "$WORK/units" "$WORK/made"
	mkdir -p "$WORK/units" "$WORK/made"
	printf '%s\n' "$1" >"$WORK/config.json"
	sed "s|config=[^ ]*|config=$WORK/config.json|; s|^ExecStart=[^ ]*|ExecStart=$REVERTFS|; s|^Documentation=.*||" \
		"$BUILD/systemd/revertfs.service" >"$WORK/units/revertfs-b.service"
	sed "s|/[^ ]*/bin/revertfs|$REVERTFS|" "$BUILD/systemd/generators/revertfs" >"$WORK/generator"
	REVERTFS_UNITS="$WORK/nowhere $WORK/units" sh "$WORK/generator" "$WORK/made" "$WORK/early" "$WORK/late"
	cat "$WORK/made/revertfs-b.service.d/"*.conf 2>/dev/null || :
}

unit_waits() {
	mkdir "$WORK/elsewhere"
	ln -s "$WORK/elsewhere/images" "$WORK/link"
	generated '{"images": "/srv/a b\\c%", "mount": "/srv/mounts/vm", "state": "/state", "scratch": "'"$WORK/link"'"}' >"$WORK/drop-in"
	printf '%s\n' '[Unit]' 'RequiresMountsFor="/srv/a b\\c%%"' 'RequiresMountsFor="/srv/mounts"' 'RequiresMountsFor="/state"' \
		"RequiresMountsFor=\"$WORK/link\"" "RequiresMountsFor=\"$WORK/elsewhere/images\"" >"$WORK/expected"
	diff "$WORK/expected" "$WORK/drop-in"
	same "$(generated '{"images": "/a", "mount": "/m"}' | tr '\n' ' ')" \
		'[Unit] RequiresMountsFor="/a" RequiresMountsFor="/" RequiresMountsFor="/var/lib/revertfs" '
	same "$(generated 'no JSON')" ""
}
promise "the unit waits for the filesystems of the directories that its configuration names" unit_waits

systemd_takes_it() {
	generated '{"images": "/srv/a b%c", "mount": "/srv/mounts/vm"}' >/dev/null
	cp -r "$WORK/made/revertfs-b.service.d" "$WORK/units"
	systemd-analyze verify "$WORK/units/revertfs-b.service" >"$WORK/verified" 2>&1 || :
	! grep -F revertfs-b "$WORK/verified" >&2
}
if command -v systemd-analyze >/dev/null; then
	promise "... and systemd takes it" systemd_takes_it
else
	skip "... and systemd takes it: systemd-analyze is missing"
fi
