#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An image that was changed outside revertfs while layers stand on it is refused, and both ways out work: the word of an administrator who
# knows that the content is the same, and giving up what stands on it, which loses nothing.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

make_image d.img raw 8M 1
start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null && ctl 'set d.img keep-revisions=3' >/dev/null || fail "the image can be protected"
guest_write d.img 0 64k 2
ctl 'commit d.img' >/dev/null || fail "a commit"

refused_with_the_ways_out() {
	touch "$IMAGES/d.img"
	guest_write d.img 0 64k 3
	ctl_fails EBUSY 'commit d.img' "'set d.img image=unchanged'" "'set d.img image=new'"
	ctl_fails EBUSY 'reset d.img' 'changed outside revertfs'
	ctl_fails EBUSY 'unprotect d.img'
}

word_is_taken() {
	ctl_fails EINVAL 'set d.img image=maybe'
	ctl 'set d.img image=unchanged'
	ctl 'commit d.img'
	guest_reads d.img 0 64k 3
	ctl 'undo d.img'
	guest_reads d.img 0 64k 2
}

given_up() {
	local sum
	guest_write d.img 0 64k 4
	qemu-io -f raw -c 'write -P 9 0 8M' "$IMAGES/d.img" >/dev/null
	sum=$(checksum "$IMAGES/d.img")
	ctl 'unprotect d.img force=yes'
	same "$(checksum "$IMAGES/d.img")" "$sum"
	same "$(status '.disks | length')" 0
	# Two layers and the scratch with changes: each is a file that qemu-img can still read.
	same "$(find "$STATE/lost" -type f | wc -l)" 3
	for file in "$STATE"/lost/*; do qemu-img info -U --output=json "$file" | jq -e '.format == "qcow2"'; done
	same "$(find "$STATE/layers" "$STATE/disks" -mindepth 1 | wc -l)" 0
}

protected_again() {
	ctl 'protect d.img'
	guest_reads d.img 0 8M 9
	restart_daemon
	guest_reads d.img 0 8M 9
}

promise "a commit and a reset on a changed image are refused, with the ways out" refused_with_the_ways_out
promise "an administrator's word that the image is unchanged is taken" word_is_taken
promise "unprotect by force gives up what stands on a changed image, and keeps the files in lost/" given_up
promise "the image can then be protected as it is now" protected_again
