#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What an earlier build left is taken over: its state directory, whatever it was in the middle of, reads the same and each verb
# goes on; its configuration and its control lines are accepted. fixtures/README.md says what lies there.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io tar gzip

OLD=$TESTS/fixtures/fc8d36e OUT=$WORK/out
mkdir "$OUT"

# uuid N: of domain N.
uuid() {
	echo "$1$1$1$1$1$1$1$1-2222-3333-4444-555555555555"
}

# The images are the same files for the records: where they were unpacked, inodes have other numbers.
unpack() {
	local record image
	tar -xf "$OLD/state.tar.gz" -C "$WORK"
	for record in "$STATE"/layers/*.json; do
		image=$(jq -r '.image // empty' "$record")
		[[ ! $image ]] || jq --argjson device "$(stat -c %d "$IMAGES/$image")" --argjson inode "$(stat -c %i "$IMAGES/$image")" \
			'.device = $device | .inode = $inode' "$record" >"$WORK/record"
		[[ ! $image ]] || cp "$WORK/record" "$record"
	done
}

content_of() {
	qemu-img convert -U -f qcow2 -O raw "$1" "$WORK/content"
	checksum "$WORK/content"
}

# digest NAME [SNAPSHOT]: what it read as then.
digest() {
	awk -v name="$1" -v snapshot="${2:-}" '$2 == name && $3 == snapshot { print $1 }' "$WORK/digests"
}

# layer_of NAME PREFIX: the view of the layer that has a name beginning so.
layer_of() {
	echo "$MNT/.revertfs/layers/$(status_of "$1" ".layers[] | select(.names | any(startswith(\"$2\"))) | .id")"
}

# reads_as NAME NAME [SNAPSHOT]: the first is now what the second was then.
reads_as() {
	same "$(content_of "$MNT/$1")" "$(digest "$2" "${3:-}")"
}

image_reads_as() {
	qemu-img convert -U -f "$2" -O raw "$IMAGES/$1" "$WORK/content"
	same "$(checksum "$WORK/content")" "$(digest "$1")"
}

unpack || fail "the old state is unpacked"
start_daemon -o config="$OLD/revertfs.json" || fail "the daemon starts on the old state, with the old configuration"

all_read_the_same() {
	local sum name snapshot
	while read -r sum name snapshot; do
		same "$name $snapshot $(content_of "$([[ $snapshot ]] && layer_of "$name" "$snapshot" || echo "$MNT/$name")")" "$name $snapshot $sum"
		check_scratch "$name"
	done <"$WORK/digests"
	same "$(status '.disks | length')" "$(cut -d ' ' -f 2 "$WORK/digests" | sort -u | wc -l)"
	same "$(status '.disks[] | select(.state == "failed" or .last_error) | .name')" ""
	same "$(ls "$STATE/lost")" ""
}
promise "every disk and snapshot of an old state reads the same" all_read_the_same

nothing_is_half_made() {
	same "$(find "$STATE/intents" "$STATE/makings" -type f; find "$IMAGES" -name '.revertfs-*')" ""
}

cut_short() {
	wait_until 20 job_is_done folding.img
	same "$(status_of folding.img '.layers | length')" 1
	image_reads_as folding.img raw
	wait_until 20 nothing_is_half_made
	same "$(status_of pair1.img '.state, (.layers | length), .session')" $'pristine\n2\nnull'
	same "$(status_of pair2.img '.state, (.layers | length), .session')" $'pristine\n2\nnull'
}
promise "a fold, a release and a full clone that the old daemon was in the middle of are completed or taken back" cut_short

what_was_asked_for() {
	same "$(status_of raw.img '.properties."keep-revisions"')" 9
	same "$(status_of raw.img '.layers[] | select(.names == ["gold"]) | .names[]')" gold
	same "$(status_of armed.img .armed)" true
	same "$(status_of held.qcow2 .hold.domain)" vm3
	same "$(status_of session.img '.kept, .session')" $'armed\nnull'
	same "$(status_of unhooked.img .unhooked)" true
	same "$(status_of own.img '[.layers[].note] | add')" own
}
promise "properties, names, notes, holds and flags are as they were" what_was_asked_for

domains() {
	ctl "announce $(uuid 3)"
	same "$(ctl "prepare $(uuid 3) domain=vm3 held.qcow2 target=held source=/vm/held.qcow2" | jq -r '.disks[].action')" resumed
	reads_as held.qcow2 held.qcow2
	ctl "release $(uuid 3) domain=vm3 reason=shutdown held source=/vm/held.qcow2"
	ctl "prepare $(uuid 4) domain=vm4 session.img target=session source=/vm/session.img"
	reads_as session.img armed.img
	same "$(content_of "$(layer_of session.img uncommitted-)")" "$(digest session.img)"
	ctl "release $(uuid 4) domain=vm4 reason=shutdown session source=/vm/session.img"
	ctl "prepare $(uuid 1) domain=vm1 unhooked.img target=vda"
	same "$(content_of "$(layer_of unhooked.img unhooked-)")" "$(digest unhooked.img)"
	ctl "release $(uuid 1) domain=vm1 reason=shutdown vda"
	ctl "prepare $(uuid 2) domain=vm2 armed.img target=vda"
	guest_write armed.img 0 64k 7
	same "$(ctl "release $(uuid 2) domain=vm2 reason=shutdown vda" | jq -r '.disks[].action')" committed
	reads_as armed.img session.img
}
promise "saved guests resume, and what sessions left is sealed aside or committed" domains

history() {
	ctl "undo raw.img"
	reads_as raw.img raw.img gold
	guest_write raw.img 0 64k 9
	ctl "commit raw.img"
	ctl "revert raw.img gold"
	reads_as raw.img raw.img gold
	ctl "revert raw.img $(status_of raw.img '.layers[].names[] | select(startswith("undone-"))' | sort | head -n 1)"
	reads_as raw.img raw.img
	ctl "reset follower.img"
	reads_as follower.img raw.img
	ctl "undo own.img"
	reads_as own.img raw.img gold
	ctl "revert undone.qcow2 $(status_of undone.qcow2 '.layers[].names[] | select(startswith("undone-"))')"
	reads_as undone.qcow2 undone.qcow2 undone-
}
promise "undo, commit and revert go on in an old history" history

folds() {
	local name
	rm "$MNT/own.img" "$MNT/follower.img"
	ctl "delete raw.img gold"
	for name in $(status_of raw.img '.layers[].names[]'); do ctl "delete raw.img $name"; done
	for name in raw.img pair1.img pair2.img; do
		ctl "set $name keep-revisions=0"
		ctl "fold $name"
		same "$(status_of "$name" '.layers | length')" 1
		image_reads_as "$name" raw
		reads_as "$name" "$name"
		ctl "unprotect $name"
		image_reads_as "$name" raw
	done
}
promise "old layers are folded into their images, which are unprotected" folds

restarts() {
	restart_daemon
	reads_as armed.img session.img
	same "$(status '.disks[] | select(.state == "failed") | .name')" ""
	same "$(ls "$STATE/lost")" ""
}
promise "the next start finds all of it again" restarts

lines_are_accepted() {
	local line
	make_image d.img raw 16M 1 # enough to be throttled
	while read -r line; do
		[[ ! $line ]] || ctl "${line//@OUT@/$OUT}"
	done <"$OLD/control"
	[[ -s $OUT/copy.qcow2.json ]]
}
promise "each line of an old control script is accepted" lines_are_accepted
