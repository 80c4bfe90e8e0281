#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image that layers stand on is no whole disk. It says so itself, to a daemon with another state directory as to one whose own was
# lost: such a daemon neither protects it, nor starts a domain on it, nor folds into it, and says where the layers are.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io getfattr

uuid=11111111-2222-3333-4444-555555555555

# ---- the mark

# The state and the file; where that state is.
mark_of() {
	getfattr --absolute-names -n trusted.revertfs --only-values "$IMAGES/$1" 2>/dev/null
}

where_of() {
	getfattr --absolute-names -n trusted.revertfs.where --only-values "$IMAGES/$1" | jq -r "$2"
}

state_of() {
	mark_of "$1" | cut -d ' ' -f 1
}

xattrs_of() {
	getfattr --absolute-names -d -m - "$1" 2>/dev/null | grep -v '^#' | grep . || :
}

is_marked() {
	same "$(state_of "$1")" "$(cat "$STATE/id")"
}

is_unmarked() {
	same "$(xattrs_of "$IMAGES/$1")" ""
	[[ ! -e $IMAGES/.revertfs ]] || same "$(find "$IMAGES/.revertfs" -name 'mark*')" ""
}

# Another state directory serves the same images from now on, and back again.
other_state() {
	stop_daemon
	mv "$STATE" "$STATE.first"
	start_daemon "$@"
}

first_state() {
	stop_daemon
	rm -rf "$STATE.other"
	mv "$STATE" "$STATE.other"
	mv "$STATE.first" "$STATE"
	start_daemon
}

setup() {
	make_image "$1" raw 4M 1
	ctl "protect $1"
	ctl "set $1 keep-revisions=9"
}

commits() {
	guest_write "$1" 0 64k "$2"
	ctl "commit $1"
}

folds() {
	ctl "set $1 keep-revisions=0"
	ctl "fold $1"
}

comes_and_goes() {
	setup a.img
	is_unmarked a.img
	guest_write a.img 0 64k 2
	ctl 'reset a.img'
	is_unmarked a.img
	[[ ! -e $STATE/id ]]
	commits a.img 2
	is_marked a.img
	commits a.img 3
	folds a.img
	is_unmarked a.img
	image_reads a.img raw 0 64k 3
}

# Whatever makes the first layer, and whatever takes the last one away.
with_every_verb() {
	setup b.img
	guest_write b.img 0 64k 2
	ctl 'snapshot b.img one'
	is_marked b.img
	ctl 'undo b.img'
	is_marked b.img
	ctl 'revert b.img one discard=yes'
	ctl 'undo b.img'
	for name in $(status_of b.img '.layers[].names[]'); do ctl "delete b.img $name"; done
	wait_until 20 is_unmarked b.img
	guest_write b.img 0 64k 4
	ctl 'snapshot b.img two live=yes'
	is_marked b.img
	ctl 'delete b.img two'
	is_unmarked b.img
	ctl 'reset b.img'
	ctl 'set b.img size=8M'
	is_marked b.img
	folds b.img
	is_unmarked b.img
	ctl 'clone b.img follower'
	guest_write follower 0 64k 5
	ctl 'commit follower'
	is_marked b.img
	rm "$MNT/follower"
	wait_until 20 is_unmarked b.img
	ctl 'set b.img keep-revisions=9'
	commits b.img 6
	ctl 'unprotect b.img force=yes'
	is_unmarked b.img
}

of_a_saved_guest() {
	setup h.img
	ctl "prepare $uuid domain=vm h.img target=vda"
	guest_write h.img 0 64k 2
	ctl "release $uuid reason=saved"
	is_marked h.img
	ctl 'reset h.img force=yes'
	is_unmarked h.img
}
start_daemon || fail "the daemon starts"
promise "an image is marked from its first commit until the last one is folded" comes_and_goes
promise "so it is with snapshots, undo, live snapshots, a larger size, clones and unprotect" with_every_verb
promise "so it is with what a saved guest needs" of_a_saved_guest

# ---- another state directory

setup d.img >/dev/null && commits d.img 2 >/dev/null && cp -a "$IMAGES/d.img" "$WORK/d.marked" || fail "a disk with a commit"

# Nor may it go: no name is taken from it, given to it, or to another file in its place.
keeps_its_name() {
	echo plain >"$MNT/plain"
	for command in 'rm -f d.img' 'mv -T d.img elsewhere.img' 'mv -fT plain d.img' 'ln d.img second.img' 'mv --exchange -T plain d.img'; do
		[[ $command != *--exchange* ]] || mv --help | grep -q -e --exchange || continue
		(cd "$MNT" && read -ra words <<<"$command" && refuses "${words[@]}")
		says 'Read-only file system'
	done
	[[ ! -e $IMAGES/elsewhere.img && ! -e $IMAGES/second.img ]]
	cmp -n 65536 "$IMAGES/d.img" "$WORK/d.marked"
	same "$(cat "$MNT/plain")" plain
	mv "$MNT/plain" "$MNT/plain.2" && ln "$MNT/plain.2" "$MNT/plain.3" && mv "$MNT/plain.3" "$MNT/plain.4" && rm "$MNT"/plain.*
}

# d.img is d's; e.img became a disk of the other state first.
refused_elsewhere() {
	local path host
	path=$(where_of d.img .path) host=$(where_of d.img .host)
	same "$path" "$STATE"
	same "$host" "$(hostname)"
	other_state -o protect='*.img'
	ctl_fails EBUSY 'protect d.img' "are in another state directory, '$STATE' of host '$host'"
	ctl_fails EBUSY "prepare $uuid d.img target=vda" 'protect d.img force=yes'
	same "$(status '[.disks[].name] | index("d.img")')" null
	grep -q "'d.img' matches '-o protect'.*another state directory" "$DAEMON_LOG"
	cmp -n 65536 "$IMAGES/d.img" "$WORK/d.marked"
	# Written as a plain file it would be worth nothing to the other state.
	refuses dd if=/dev/zero of="$MNT/d.img" bs=4k count=1 conv=notrunc
	says 'Read-only file system'
	refuses truncate -s 1M "$MNT/d.img"
	grep -q "cannot be written in the mount.*'$STATE' of host" "$DAEMON_LOG"
	cmp "$MNT/d.img" "$IMAGES/d.img"
	keeps_its_name
	echo plain >"$MNT/file" && rm "$MNT/file"
	# A disk of both.
	ctl 'set a.img keep-revisions=9'
	commits a.img 7
	is_marked a.img
	first_state
}

# The other state's disk a.img has a layer; this one's has none.
says_another() {
	[[ $(status_of a.img .last_error) == *"are in another state directory, '$STATE'"* ]]
}

a_disk_of_both() {
	# Before any command.
	wait_until 20 says_another
	"$REVERTCTL" --mount="$MNT" doctor >"$WORK/doctor" 2>&1 || :
	grep -F "image 'a.img' has commits" "$WORK/doctor" | grep -F 'set a.img image=mine'
	for verb in 'reset a.img' "prepare $uuid a.img target=vda" 'clone a.img n' 'export a.img to=/tmp/never'; do
		[[ $verb == clone* ]] || ctl_fails EBUSY "$verb" 'set a.img image=mine'
	done
	guest_write a.img 0 64k 9
	ctl_fails EBUSY 'commit a.img' 'another state directory'
	same "$(state_of a.img)" "$(cat "$STATE.other/id")"
	guest_reads d.img 0 64k 2
	commits d.img 3
}

# The way back is the other state directory; once folded there, nothing is in the way.
folded_there() {
	stop_daemon
	mv "$STATE" "$STATE.first"
	mv "$STATE.other" "$STATE"
	start_daemon
	folds a.img
	is_unmarked a.img
	first_state
	ctl 'reset a.img' || ctl 'set a.img image=unchanged' # the image was folded into by another
	ctl 'reset a.img'
	same "$(status_of a.img .last_error)" null
	guest_reads a.img 0 64k 7
}
promise "another state directory may not protect it, not even at start, and says where the layers are" refused_elsewhere
promise "nor reset, prepare, commit or export a disk of its own on it" a_disk_of_both
promise "the way back is the state directory that the mark names" folded_there

# ---- a state directory that was lost

# All that a new one knows of it is told before any command.
told_at_start() {
	local text
	mkdir -p "$IMAGES/deep/er"
	setup deep/er/f.img
	commits deep/er/f.img 2
	same "$(jq -r .elsewhere "$MNT/.revertfs/status.json")" null
	: >"$DAEMON_LOG"
	other_state
	wait_until 10 grep -q 'images that were no disks here when revertfs started' "$DAEMON_LOG"
	same "$(grep -c 'were no disks here when revertfs started' "$DAEMON_LOG")" 1
	grep -q '^warning: .*were no disks here' "$MNT/.revertfs/status"
	text=$(jq -r .elsewhere "$MNT/.revertfs/status.json")
	[[ $text == "2 images that were no disks here when revertfs started, '"?*"' among them, have commits in another state directory, '$STATE' of host '$(hostname)' (id "*"); start revertfs with that one as state=, or, if it is gone for ever, give the commits up with 'protect "*" force=yes'" ]]
	"$REVERTCTL" --mount="$MNT" --json doctor >"$WORK/found" || :
	jq -e '.findings[] | select(.what | contains("were no disks here")) | .fix | startswith("start revertfs with that one as state=")' "$WORK/found"
	# One that is given up is told of no longer.
	ctl 'protect deep/er/f.img force=yes'
	jq -r .elsewhere "$MNT/.revertfs/status.json" | grep -F "1 image that was no disk here when revertfs started, 'd.img', has commits"
	first_state
	ctl 'unprotect deep/er/f.img force=yes'
}
promise "a new state directory beside images that are another's says so when it starts, and the doctor does" told_at_start

# ---- gone for ever

given_up() {
	other_state
	ctl 'protect d.img force=yes'
	is_unmarked d.img
	guest_reads d.img 0 4M 1
	ctl 'set d.img keep-revisions=9'
	commits d.img 5
	is_marked d.img
	stop_daemon
	rm -rf "$STATE.other"
	cp -a "$STATE" "$STATE.other"
	first_state
}

taken_back() {
	ctl_fails EBUSY 'reset d.img' 'set d.img image=mine'
	ctl 'set d.img image=mine'
	is_marked d.img
	guest_reads d.img 0 64k 3
	folds d.img
	is_unmarked d.img
	image_reads d.img raw 0 64k 3
}
promise "protect by force gives layers up that are gone for ever" given_up
promise "set image=mine does that for a disk of this state directory" taken_back

# ---- records that cannot be read

# The layer is not in the tree, but nothing of it is removed, and the image is as little the whole disk as before.
unreadable_layer() {
	local record
	setup u.img
	ls "$STATE/layers" >"$WORK/records"
	commits u.img 2
	stop_daemon
	record=$(find "$STATE/layers" -name '*.json' -printf '%f\n' | grep -vxFf "$WORK/records")
	record=$STATE/layers/$record
	mv "$record" "$WORK/record"
	echo '{' >"$record"
	REVERTFS_DEBUG=disk start_daemon
	wait_until 10 grep -q "the marks of the images are settled" "$DAEMON_LOG"
	is_marked u.img
	setup v.img
	is_unmarked v.img
	other_state
	ctl_fails EBUSY 'protect u.img' 'are in another state directory'
	first_state
	is_marked u.img
	stop_daemon
	mv "$WORK/record" "$record"
	start_daemon
	guest_reads u.img 0 64k 2
	folds u.img
	is_unmarked u.img
}
promise "the mark stays while the record of a layer cannot be read" unreadable_layer

# ---- copies

a_copy() {
	setup c.img
	commits c.img 2
	cp -a "$IMAGES/c.img" "$IMAGES/copy.img"
	[[ $(mark_of copy.img) == "$(mark_of c.img)" ]]
	mv "$IMAGES/copy.img" "$IMAGES/moved.img"
	other_state
	ctl 'protect moved.img'
	ctl 'set moved.img keep-revisions=9'
	ctl 'reset moved.img'
	same "$(grep -c "image 'moved.img' is a copy" "$DAEMON_LOG")" 1
	ctl_fails EBUSY 'protect c.img'
	mv "$IMAGES/c.img" "$IMAGES/elsewhere.img"
	ctl_fails EBUSY 'protect elsewhere.img'
	mv "$IMAGES/elsewhere.img" "$IMAGES/c.img"
	commits moved.img 4
	is_marked moved.img
	folds moved.img
	ctl 'unprotect moved.img'
	first_state
}
promise "a copy has the mark of another file, which means nothing; a file that was moved keeps its own" a_copy

# ---- nobody sees it

not_in_the_mount() {
	local file
	commits c.img 3
	is_marked c.img
	stop_daemon
	mv "$STATE" "$STATE.first"
	start_daemon
	same "$(xattrs_of "$MNT/c.img")" "" # as a plain file
	refuses setfattr -n trusted.revertfs -v x "$MNT/c.img"
	refuses setfattr -x trusted.revertfs "$MNT/c.img"
	refuses getfattr -n trusted.revertfs "$MNT/c.img"
	setfattr -n user.mine -v 1 "$MNT/c.img"
	same "$(xattrs_of "$MNT/c.img")" 'user.mine="1"'
	setfattr -x user.mine "$MNT/c.img"
	first_state
	ctl 'reset c.img'
	ctl "export c.img to=$WORK/flat.qcow2"
	ctl 'clone c.img whole.img full=yes'
	for file in "$MNT/c.img" "$WORK/flat.qcow2" "$IMAGES/whole.img" "$STATE"/layers/* "$STATE"/disks/*/*; do
		same "$(xattrs_of "$file" | grep revertfs)" ""
	done
	is_marked c.img
}
promise "neither the mount nor scratches, layers, exports and full clones show it" not_in_the_mount
