#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image that QEMU would not write to, or must not, is never folded into: it is said at protect, in the status and by the doctor, the layers are
# kept, and after the way out they are folded. One that QEMU would mend first is mended first.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=11111111-2222-3333-4444-555555555555
start_daemon || fail "the daemon starts"

new_image() {
	qemu-img create -q -f qcow2 -o "${3:-compat=1.1}" "$IMAGES/$1" 8M
	qemu_io -f qcow2 -c "write -q -P $2 0 1M" "$IMAGES/$1"
}

# mark_corrupt FILE: the bit that QEMU sets.
mark_corrupt() {
	local features
	features=$(od -An -tu1 -j79 -N1 "$1")
	printf %b "\\x$(printf %02x $((features | 2)))" | dd of="$1" bs=1 seek=79 conv=notrunc status=none
}

# A QEMU dies with the image open, after a write.
die_with() {
	qemu-io -f qcow2 -c 'write -q -P 0x11 1M 64k' -c flush -c 'sigraise 9' "$IMAGES/$1" || :
}

# commit NAME: a layer whose fold comes to nothing. unfolded NAME WORDS: it is kept, and this is why.
commit() {
	guest_write "$1" 4M 1M 0x22
	ctl "commit $1"
}

unfolded() {
	local before
	before=$(checksum "$IMAGES/$1")
	ctl_fails EBADMSG "fold $1" "$2"
	same "$(checksum "$IMAGES/$1")" "$before"
	same "$(status_of "$1" .folding)" false
	status_of "$1" .last_error | grep -F "$2"
	guest_reads "$1" 4M 1M 0x22
}

said_everywhere() {
	status_of "$1" .image_trouble | grep -F "$2"
	grep -F "image '$1'" "$MNT/.revertfs/status" | grep -F "$2"
	# It exits with 1, or 2, where it has found something.
	"$REVERTCTL" --mount="$MNT" doctor >"$WORK/doctor" 2>&1 || :
	grep -F "image '$1'" "$WORK/doctor" | grep -F "$2"
}

folded() {
	ctl "set $1 image=unchanged"
	same "$(status_of "$1" .image_trouble)" null
	ctl "fold $1"
	image_reads "$1" qcow2 4M 1M 0x22
	image_reads "$1" qcow2 0 1M 0x11
	qemu-img check -q -f qcow2 "$IMAGES/$1" >&2
}

corrupt_is_said() {
	new_image corrupt.qcow2 0x11
	mark_corrupt "$IMAGES/corrupt.qcow2"
	ctl 'protect corrupt.qcow2' | jq -r .warning | grep -F 'is marked corrupt'
	said_everywhere corrupt.qcow2 'marked corrupt'
	restart_daemon
	said_everywhere corrupt.qcow2 'marked corrupt'
	ctl "prepare $uuid domain=d corrupt.qcow2 target=vda" | jq -r '.disks[0].warning' | grep -F 'marked corrupt'
	ctl "release $uuid domain=d reason=shutdown vda"
}

corrupt_is_kept_away() {
	commit corrupt.qcow2 | jq -r .warning | grep -F 'marked corrupt'
	unfolded corrupt.qcow2 'is marked corrupt'
}

# The sentence has the whole command.
corrupt_is_mended() {
	sh -c "$(status_of corrupt.qcow2 .image_trouble | grep -o 'qemu-img check -r all [^'\'']*')" >&2
	folded corrupt.qcow2
}

# A fold, or somebody's repair, may find it later; and the time of the last change need not tell.
marked_later() {
	new_image later.qcow2 0x11
	ctl 'protect later.qcow2'
	ctl 'set later.qcow2 keep-revisions=1'
	commit later.qcow2
	touch -r "$IMAGES/later.qcow2" "$WORK/time"
	mark_corrupt "$IMAGES/later.qcow2"
	touch -r "$WORK/time" "$IMAGES/later.qcow2"
	ctl 'set later.qcow2 keep-revisions=0'
	unfolded later.qcow2 'is marked corrupt'
	said_everywhere later.qcow2 'marked corrupt'
}

# Layers are QEMU's files, too.
layer_is_marked() {
	local layer
	new_image layer.qcow2 0x11
	ctl 'protect layer.qcow2'
	ctl 'set layer.qcow2 keep-revisions=1'
	commit layer.qcow2
	layer=$(status_of layer.qcow2 .head)
	mark_corrupt "$STATE/layers/$layer.qcow2"
	ctl 'set layer.qcow2 keep-revisions=0'
	unfolded layer.qcow2 "QEMU has marked the file of layer $layer corrupt"
}

bitmap_in_use() {
	new_image bitmap.qcow2 0x11
	qemu-img bitmap --add "$IMAGES/bitmap.qcow2" nightly
	die_with bitmap.qcow2
	ctl 'protect bitmap.qcow2' | jq -r .warning | grep -F 'bitmap in use'
	said_everywhere bitmap.qcow2 'bitmap in use'
	commit bitmap.qcow2
	unfolded bitmap.qcow2 'bitmap in use'
	restart_daemon
	said_everywhere bitmap.qcow2 'bitmap in use'
	qemu-img bitmap --remove "$IMAGES/bitmap.qcow2" nightly
	folded bitmap.qcow2
}

other_bitmaps_are_fine() {
	new_image kept.qcow2 0x11
	qemu-img bitmap --add "$IMAGES/kept.qcow2" nightly
	qemu-img bitmap --add --disable "$IMAGES/kept.qcow2" old
	ctl 'protect kept.qcow2' | jq -e 'has("warning") | not'
	commit kept.qcow2
	ctl 'fold kept.qcow2'
	qemu-img info --output=json "$IMAGES/kept.qcow2" | jq -e '[."format-specific".data.bitmaps[].flags[]] | index("in-use") | not'
}

# What a fold that was cut short leaves keeps no other from running: nobody but revertfs has written there.
bitmap_of_a_fold() {
	touch -r "$IMAGES/kept.qcow2" "$WORK/time"
	die_with kept.qcow2
	touch -r "$WORK/time" "$IMAGES/kept.qcow2"
	commit kept.qcow2
	ctl 'fold kept.qcow2'
	image_reads kept.qcow2 qcow2 4M 1M 0x22
}

# qemu-img commit alone would write over what is not counted: 1 MiB of the image would read as the layer's data.
dirty_is_counted_first() {
	new_image dirty.qcow2 0x11 lazy_refcounts=on
	qemu-io -f qcow2 -c 'write -q -P 0x11 1M 1M' -c flush -c 'sigraise 9' "$IMAGES/dirty.qcow2" || :
	same "$(od -An -tu1 -j79 -N1 "$IMAGES/dirty.qcow2" | tr -d ' ')" 1
	ctl 'protect dirty.qcow2'
	commit dirty.qcow2
	ctl 'fold dirty.qcow2'
	image_reads dirty.qcow2 qcow2 0 2M 0x11
	image_reads dirty.qcow2 qcow2 4M 1M 0x22
	qemu-img check -q -f qcow2 "$IMAGES/dirty.qcow2" >&2
}

promise "that an image is marked corrupt is said at protect, at a start, in the status and by the doctor" corrupt_is_said
promise "nothing is folded into an image that is marked corrupt" corrupt_is_kept_away
promise "what the sentence says mends it, and then the layer is folded" corrupt_is_mended
promise "an image that was marked later is found by the fold" marked_later
promise "a layer that is marked corrupt is not folded either" layer_is_marked
promise "a bitmap in use is said, keeps folds away, and can be removed" bitmap_in_use
promise "other bitmaps keep nothing away, and stay valid" other_bitmaps_are_fine
promise "a bitmap that a fold of ours left in use keeps no fold away" bitmap_of_a_fold
promise "an image whose clusters are not counted is counted before the fold" dirty_is_counted_first
