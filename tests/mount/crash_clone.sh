#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Making a clone, thin or full, removing one and exporting, each cut short at any step: it is there, whole, or it is not, nothing
# half-made is left, and the same can be done again.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/history.sh"

is_there() {
	[[ -e $MNT/$1 ]]
}

is_a_disk() {
	same "$(status_of "$1" .name)" "$1"
}

clone() {
	ctl 'clone d.img c.img'
}

cloned_or_not() {
	the_others_are_there
	is_there c.img || ! is_done
	same "$(is_there c.img && echo there)" "$([[ ! $(status_of c.img .name) ]] || echo there)"
	is_there c.img || clone
	same "$(which c.img two)" two
	is_sound c.img
	rm "$MNT/c.img"
	same "$(ls "$STATE/disks")" d.img
	the_others_are_there
}
promise "a clone cut short: it is there or it is not" each_crash nothing clone cloned_or_not alternating

a_clone_of_its_own() {
	clone
	ctl 'snapshot c.img shared'
	guest_write c.img 0 64k 9
	ctl 'commit c.img'
	guest_write c.img 0 64k 10
	ctl 'snapshot c.img mine'
}

remove() {
	rm "$MNT/c.img"
}

removed_or_not() {
	the_others_are_there
	! is_there c.img || ! is_done
	if is_there c.img; then
		guest_reads c.img 0 64k 10
		remove
	fi
	same "$(ls "$STATE/disks")" d.img
	same "$(status_of d.img '.layers | length')" 3
	same "$(find "$STATE/layers" -name '*.json' | wc -l)" 3
	same "$(grep -l '"c.img"' "$STATE"/layers/*.json)" ""
	the_others_are_there
}
# shellcheck disable=SC2034 # what only the clone knew
lost_is_fine=yes
promise "its removal cut short: it is there or it is not, and nothing of it stays" each_crash a_clone_of_its_own remove removed_or_not alternating

# ---- what is made outside

OUT=$WORK/out
nothing_outside() {
	rm -rf "$OUT"
	mkdir "$OUT"
	rm -f "$IMAGES/f.img"
}

nothing_is_being_made() {
	same "$(find "$OUT" "$IMAGES" -name '.revertfs-*'; ls "$STATE/makings")" ""
}

export_it() {
	ctl "export d.img to=$OUT/e.qcow2"
}

# With its sidecar, which is right.
export_is_whole() {
	qemu-img compare -q -f raw -F qcow2 "$WORK/two.raw" "$OUT/e.qcow2"
	same "$(jq -r .sha256 "$OUT/e.qcow2.json")" "$(checksum "$OUT/e.qcow2")"
}

exported_or_not() {
	wait_until 10 nothing_is_being_made
	the_others_are_there
	[[ -e $OUT/e.qcow2 ]] || ! is_done
	if [[ -e $OUT/e.qcow2 ]]; then export_is_whole; else same "$(ls "$OUT")" ""; fi
	ctl "export d.img to=$OUT/e.qcow2 replace=yes"
	export_is_whole
}
promise "an export cut short: it is whole, with its sidecar, or there is none" each_crash nothing_outside export_it exported_or_not kill

full_clone() {
	ctl 'clone d.img f.img full=yes'
}

made_or_not() {
	wait_until 10 nothing_is_being_made
	the_others_are_there
	is_there f.img || ! is_done
	is_there f.img || full_clone
	wait_until 10 is_a_disk f.img
	same "$(which f.img two)" two
	cmp "$IMAGES/f.img" "$WORK/two.raw"
	ctl 'unprotect f.img'
}
# shellcheck disable=SC2034
lost_is_fine=
promise "a full clone cut short: it is an image, and a disk, or there is none" each_crash nothing_outside full_clone made_or_not kill
