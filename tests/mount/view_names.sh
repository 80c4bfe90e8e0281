#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The names by which qcow2 headers lead to layers and images: "backing_file" is in each disk's chain, for those who look for it to
# see that a machine reverts. What earlier builds wrote leads to the same files, and is as valid as it was.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

LAYERS=$MNT/.revertfs/layers IMAGE_VIEWS=$MNT/.revertfs/images
uuid=22222222-2222-2222-2222-222222222222

make_image d.qcow2 qcow2 4M 1
make_image r.img raw 4M 1
mkdir "$IMAGES/sub"
make_image sub/s.img raw 4M 1
start_daemon -o 'protect=*.qcow2,protect=*.img' || fail "the daemon starts"
ctl "protect sub/s.img"
for name in d.qcow2 r.img; do
	ctl "set $name keep-revisions=9"
	guest_write "$name" 0 64k 2
	ctl "commit $name"
done
ctl "clone d.qcow2 c.qcow2"
head=$(status_of d.qcow2 .head)
root=$(status_of d.qcow2 '.layers[] | select(.parent == null) | .id')

# backing_of FILE: what its header names.
backing_of() {
	qemu-img info -U --output=json "$1" | jq -r '."backing-filename"'
}

chain_of() {
	qemu-img info -U --backing-chain --output=json "$MNT/$1" | jq -r '.[].filename | ltrimstr("'"$MNT/"'")'
}

scratch_of() {
	echo "$STATE/disks/$1/scratch.qcow2"
}

the_chain_says_backing_file() {
	local name
	for name in d.qcow2 c.qcow2 r.img; do
		same "$(chain_of "$name")" "$name
.revertfs/layers/$(status_of "$name" .head).qcow2
.revertfs/layers/$(status_of "$name" '.layers[] | select(.parent == null) | .id').backing_file.img"
		same "$(status_of "$name" '.layers[].file | ltrimstr("'"$MNT/"'")')" "$(chain_of "$name" | tail -n +2)"
	done
	same "$(chain_of sub/s.img | tail -n 1)" ".revertfs/layers/$(status_of sub/s.img .head).backing_file.img"
}
promise "each disk's chain ends in a name that says backing_file: qcow2, raw, clone, with layers and without" the_chain_says_backing_file

old_names_lead_there() {
	same "$(stat -c %i "$LAYERS/$head")" "$(stat -c %i "$LAYERS/$head.qcow2")"
	same "$(stat -c %i "$IMAGE_VIEWS/d.qcow2")" "$(stat -c %i "$LAYERS/$root.backing_file.img")"
	cmp "$LAYERS/$head" "$STATE/layers/$head.qcow2"
	cmp "$LAYERS/$root.backing_file.img" "$IMAGES/d.qcow2"
	cmp "$IMAGE_VIEWS/sub/s.img" "$IMAGES/sub/s.img"
}
promise "the names of earlier builds lead to the same files" old_names_lead_there

nothing_else_is_there() {
	local name
	for name in "$root" "$root.qcow2" "$root.img" "$root.backing_file" "$root.backing_file.img.img" "$head.backing_file.img" \
		"$head.qcow" "$head.json" "$head.template" "$head.qcow2.qcow2" "${head}0" "${head:0:15}" "${head^^}x" "$head.qcow2/.." \
		"$head/../$head.qcow2" "d.qcow2" "0000000000000000.qcow2" ".qcow2" ".backing_file.img" "$(printf 'a%.0s' {1..255})"; do
		refuses test -e "$LAYERS/$name" || { echo "'$name' is there" >&2; return 1; }
	done
	refuses test -e "$IMAGE_VIEWS/$root.backing_file.img"
	refuses test -e "$MNT/$root.backing_file.img"
}
promise "no other name is there, nor one that says of a layer what it is not" nothing_else_is_there

listed_once() {
	same "$(ls "$LAYERS")" "$(status '.disks[].layers[].file' | sed 's,.*/,,' | sort -u)"
}
promise "each layer and image is listed once beneath layers/" listed_once

# ---- headers of an earlier build

# old_header FILE BACKING FORMAT: as the earlier build wrote it; the time of the last write tells whether a scratch was written.
old_header() {
	touch -r "$1" "$WORK/time"
	qemu-img rebase -u -f qcow2 -F "$3" -b "$2" "$1"
	touch -r "$WORK/time" "$1"
}

# Each disk is in another state: d.qcow2 has a snapshot and data in its scratch, c.qcow2 is pristine, r.img is held for a saved guest.
as_an_old_build_left_it() {
	local raw root_of_s hold file
	guest_write d.qcow2 64k 64k 3
	ctl "prepare $uuid domain=vm r.img target=vda source=/vm/r.img"
	guest_write r.img 64k 64k 4
	ctl "release $uuid domain=vm reason=saved vda source=/vm/r.img"
	raw=$(status_of r.img .head) root_of_s=$(status_of sub/s.img .head)
	stop_daemon
	old_header "$STATE/layers/$head.qcow2" "$IMAGE_VIEWS/d.qcow2" qcow2
	old_header "$STATE/layers/$raw.qcow2" "$IMAGE_VIEWS/r.img" raw
	hold=$(jq -r .hold "$STATE/disks/r.img/disk.json")
	old_header "$STATE/layers/$hold.qcow2" "$LAYERS/$raw" qcow2
	for file in "$STATE/layers/$head.template" "$(scratch_of d.qcow2)" "$(scratch_of c.qcow2)"; do
		old_header "$file" "$LAYERS/$head" qcow2
	done
	old_header "$STATE/layers/$hold.template" "$LAYERS/$hold" qcow2
	old_header "$(scratch_of r.img)" "$LAYERS/$hold" qcow2
	old_header "$(scratch_of sub%2Fs.img)" "$IMAGE_VIEWS/sub/s.img" raw
	old_header "$STATE/layers/$root_of_s.template" "$IMAGE_VIEWS/sub/s.img" raw
}

headers() {
	local file
	for file in "$STATE"/layers/*.qcow2 "$STATE"/disks/*/scratch.qcow2; do backing_of "$file"; done
}
as_an_old_build_left_it || fail "the headers are as an earlier build wrote them"
headers >"$WORK/old_headers"
start_kept -o 'protect=*.qcow2,protect=*.img' || fail "the daemon starts on headers of an earlier build"

are_valid() {
	same "$(headers)" "$(<"$WORK/old_headers")"
	refuses grep backing_file "$WORK/old_headers"
	same "$(status '[.disks[] | "\(.name) \(.state)"] | sort | .[]')" $'c.qcow2 pristine\nd.qcow2 dirty\nr.img pristine\nsub/s.img pristine'
	same "$(status '.disks[] | select(.last_error) | .name')$(ls "$STATE/lost")" ""
	guest_reads d.qcow2 0 64k 2
	guest_reads d.qcow2 64k 64k 3
	guest_reads c.qcow2 0 64k 2
	guest_reads r.img 64k 64k 4
	guest_reads sub/s.img 0 4M 1
}
promise "headers of an earlier build are valid, and nothing rewrites them at the start" are_valid

# By the names that the guest's QEMU and libvirt have known since before the upgrade.
open_views_go_on() {
	exec 7<"$LAYERS/$head" 8<"$IMAGE_VIEWS/d.qcow2"
	cmp <(head -c 4096 <&7) <(head -c 4096 "$STATE/layers/$head.qcow2")
	kill_serving
	kill_serving
	cmp <(tail -c +4097 <"$STATE/layers/$head.qcow2") - <&7
	cmp "$IMAGES/d.qcow2" - <&8
	exec 7<&- 8<&-
	old_names_lead_there
	are_valid
}
promise "views that are open by old names go on through a kill" open_views_go_on

# The templates are those of the earlier build, and stay.
fresh_ones_have_the_new() {
	local templates
	templates=$(stat -c '%n %i %Y' "$STATE"/layers/*.template)
	ctl "reset c.qcow2"
	ctl "reset sub/s.img"
	same "$(backing_of "$(scratch_of c.qcow2)")" "$LAYERS/$head.qcow2"
	same "$(backing_of "$(scratch_of sub%2Fs.img)")" "$LAYERS/$(status_of sub/s.img .head).backing_file.img"
	same "$(status '[.disks[] | select(.name == "c.qcow2" or .name == "sub/s.img") | .state] | unique[]')" pristine
	same "$(stat -c '%n %i %Y' "$STATE"/layers/*.template)" "$templates"
	check_scratch c.qcow2
	guest_reads c.qcow2 0 64k 2
	guest_write c.qcow2 0 64k 5
	ctl "commit c.qcow2"
	guest_reads c.qcow2 0 64k 5
}
promise "fresh scratches have today's names, without a process" fresh_ones_have_the_new

what_was_saved_resumes() {
	ctl "announce $uuid"
	same "$(ctl "prepare $uuid domain=vm r.img target=vda source=/vm/r.img" | jq -r '.disks[].action')" resumed
	guest_reads r.img 64k 64k 4
	same "$(backing_of "$(scratch_of r.img)")" "$LAYERS/$(status_of r.img .hold.layer).qcow2"
	ctl "release $uuid domain=vm reason=shutdown vda source=/vm/r.img"
}
promise "a saved guest of the earlier build resumes" what_was_saved_resumes

old_data_is_committed_and_folded() {
	ctl "commit d.qcow2"
	guest_reads d.qcow2 64k 64k 3
	same "$(backing_of "$STATE/layers/$(status_of d.qcow2 .head).qcow2")" "$LAYERS/$head"
	ctl "set d.qcow2 keep-revisions=0"
	rm "$MNT/c.qcow2"
	ctl "fold d.qcow2"
	image_reads d.qcow2 qcow2 0 64k 2
	image_reads d.qcow2 qcow2 64k 64k 3
	guest_write d.qcow2 0 64k 9
	same "$(backing_of "$(scratch_of d.qcow2)")" "$LAYERS/$root.backing_file.img"
	same "$(ls "$STATE/lost")" ""
}
promise "what stands in a scratch of the earlier build is committed, and folded" old_data_is_committed_and_folded
