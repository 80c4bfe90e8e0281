#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A QEMU that a guest has broken out of may write anything into its scratch, the qcow2 header included. Whatever that names is neither
# read, written nor given to anyone: sealing refuses it with a sentence, the image stays as it is, and the domain can start afresh.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=11111111-2222-3333-4444-555555555555
view=$MNT/.revertfs/images/d.img
make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
head -c 4M /dev/urandom >"$WORK/victim"
chmod 600 "$WORK/victim"
touch -d 2001-01-01 "$WORK/victim" "$WORK/reference"
stat -c '%X %Y %Z %u:%g %a %s' "$WORK/victim" >"$WORK/victim.stat"
cp "$WORK/victim" "$WORK/victim.copy"
touch -a -d 2001-01-01 "$WORK/victim"
stat -c '%X %Y %Z %u:%g %a %s' "$WORK/victim" >"$WORK/victim.stat"

# Not read (an access time that old would change, under relatime too), not written, not given to anyone.
nobody_touched_the_victim() {
	same "$(stat -c '%X %Y %Z %u:%g %a %s' "$WORK/victim")" "$(cat "$WORK/victim.stat")"
}

image_is_untouched() {
	cmp "$IMAGES/d.img" "$WORK/before.raw"
	same "$(stat -c '%u:%g %a' "$IMAGES/d.img")" "$(stat -c '%u:%g %a' "$WORK/before.raw")"
}

# poke OFFSET HEX: into the scratch, through the mount.
poke() {
	# shellcheck disable=SC2059,SC2001 # the escapes are the format
	printf "$(sed 's/../\\x&/g' <<<"$2")" | dd of="$MNT/d.img" bs=1 seek="$1" conv=notrunc status=none
}

hex() {
	od -An -v -tx1 | tr -d ' \n'
}

# peek OFFSET LENGTH: a number out of the scratch.
peek() {
	echo $((0x$(dd if="$MNT/d.img" bs=1 skip="$1" count="$2" status=none | hex)))
}

# ---- what it may write, by name

another_backing_file() {
	qemu-img rebase -u -f qcow2 -b "$WORK/victim" -F raw "$MNT/d.img"
}

a_backing_file_that_is_a_protocol() {
	qemu-img rebase -u -f qcow2 -b 'json:{"driver":"raw","file":{"driver":"file","filename":"'"$WORK/victim"'"}}' -F raw "$MNT/d.img"
}

another_backing_format() {
	qemu-img rebase -u -f qcow2 -b "$view" -F qcow2 "$MNT/d.img"
}

no_backing_file() {
	qemu-img rebase -u -f qcow2 -b '' "$MNT/d.img"
}

# Incompatible feature bit 2, and the name in an extension in front of the others (type 0x44415441).
a_data_file() {
	local name=$WORK/victim padding extension at
	padding=$(((8 - ${#name} % 8) % 8))
	extension=44415441$(printf %08x ${#name})$(printf %s "$name" | hex)$(head -c $padding /dev/zero | hex)
	at=$((112 + ${#extension} / 2 + 16 + 8))
	poke 112 "${extension}e2792aca00000003$(printf raw | hex)0000000000$(printf %016x 0)$(printf %s "$view" | hex)"
	poke 8 "$(printf %016x $at)$(printf %08x ${#view})"
	poke 72 "$(printf %016x $(($(peek 72 8) | 4)))"
}

only_the_data_file_bit() {
	poke 79 "$(printf %02x $(($(peek 79 1) | 4)))"
}

encryption() {
	poke 32 00000002
}

a_smaller_size() {
	poke 24 "$(printf %016x $((1024 * 1024)))"
}

a_larger_size() {
	poke 24 "$(printf %016x $((1 << 50)))"
}

an_unknown_feature() {
	poke 72 80
}

an_unknown_extension() {
	poke 112 "12345678$(printf %08x 8)0000000000000000"
}

another_version() {
	poke 4 00000002
}

other_clusters() {
	poke 20 00000009
}

a_name_outside_the_header() {
	poke 8 "$(printf %016x $((1 << 40)))"
}

a_name_that_is_too_long() {
	poke 16 7fffffff
}

no_header() {
	poke 0 00000000
}

a_header_that_is_cut() {
	truncate -s 60 "$MNT/d.img"
}

an_empty_file() {
	truncate -s 0 "$MNT/d.img"
}

all=(another_backing_file a_backing_file_that_is_a_protocol another_backing_format no_backing_file a_data_file only_the_data_file_bit
	encryption a_smaller_size a_larger_size an_unknown_feature an_unknown_extension another_version other_clusters
	a_name_outside_the_header a_name_that_is_too_long no_header a_header_that_is_cut an_empty_file)

# ---- what then happens

prepare() {
	ctl "prepare $uuid domain=d d.img target=vda armed=yes"
}

# The leftover is in lost/, nothing of it counts, and the domain begins with what was.
starts_afresh() {
	local lost
	lost=$(find "$STATE/lost" -type f | wc -l)
	prepare >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" fresh
	same "$(status_of d.img .last_error)" "$(jq -r '.disks[0].warning' "$WORK/answer")"
	status_of d.img .last_error | grep -F "moved to lost/$(find "$STATE/lost" -type f -printf '%T@ %f\n' | sort -n | tail -n 1 | cut -d ' ' -f 2)"
	same "$(find "$STATE/lost" -type f | wc -l)" $((lost + 1))
	same "$(status_of d.img '[.layers[].names[]] | length')" 0
	same "$(status_of d.img .state)" pristine
	guest_reads d.img 0 4M 1
	check_scratch d.img
	image_is_untouched
	nobody_touched_the_victim
}

refused_at_commit() {
	prepare >&2
	guest_write d.img 1M 64k 2
	"$1"
	ctl_fails EBADMSG "release $uuid domain=d reason=shutdown vda armed=yes" "the scratch is not what revertfs made"
	status_of d.img .last_error | grep -q 'was not sealed and the image was not touched'
	image_is_untouched
	nobody_touched_the_victim
	same "$(status_of d.img '.layers | length')" 1
	starts_afresh
	ctl "release $uuid reason=destroyed vda"
}

refused_at_hold() {
	prepare >&2
	guest_write d.img 1M 64k 2
	"$1"
	ctl_fails EBADMSG "release $uuid domain=d reason=saved" "the scratch is not what revertfs made"
	image_is_untouched
	nobody_touched_the_victim
	same "$(status_of d.img .hold)" null
	# libvirt has saved the guest all the same: it cannot come back to this scratch.
	ctl "announce $uuid"
	ctl_fails EBADMSG "prepare $uuid domain=d d.img target=vda" "cannot resume the saved guest"
	nobody_touched_the_victim
	image_is_untouched
	restart_daemon # which forgets the announcement; nor does it take the scratch for its own
	starts_afresh
	ctl "release $uuid reason=destroyed vda"
}

start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null || fail "the image can be protected"
for what in "${all[@]}"; do
	promise "a commit refuses ${what//_/ }" refused_at_commit "$what"
done
for what in another_backing_file a_data_file a_smaller_size a_header_that_is_cut; do
	promise "a hold refuses ${what//_/ }, and so does the restore" refused_at_hold "$what"
done

# A layer cannot be written through the mount; it is looked at all the same before a guest comes back to it, and before a fold.
a_layer_is_looked_at_again() {
	local layer
	prepare >&2
	guest_write d.img 1M 64k 2
	ctl "release $uuid domain=d reason=saved saved=yes"
	layer=$STATE/layers/$(status_of d.img .hold.layer).qcow2
	refuses bash -c "echo x >'$MNT/.revertfs/layers/$(status_of d.img .hold.layer)'"
	says "Read-only file system"
	cp "$layer" "$WORK/layer"
	qemu-img rebase -u -f qcow2 -b "$WORK/victim" -F raw "$layer"
	ctl_fails EBADMSG "prepare $uuid domain=d saved=yes d.img target=vda" "cannot resume the saved guest"
	nobody_touched_the_victim
	cat "$WORK/layer" >"$layer"
	ctl "prepare $uuid domain=d saved=yes d.img target=vda"
	guest_reads d.img 1M 64k 2
	ctl "release $uuid domain=d reason=shutdown vda armed=yes"
	job_is_done d.img || ctl 'fold d.img'
	image_reads d.img raw 1M 64k 2
	nobody_touched_the_victim
}
promise "a restore refuses a hold layer whose header was rewritten" a_layer_is_looked_at_again

a_fold_looks() {
	local layer
	ctl 'set d.img keep-revisions=1'
	guest_write d.img 2M 64k 3
	cp "$IMAGES/d.img" "$WORK/now.raw"
	layer=$STATE/layers/$(ctl 'commit d.img' | jq -r .layer).qcow2
	cp "$layer" "$WORK/layer"
	qemu-img rebase -u -f qcow2 -b "$WORK/victim" -F raw "$layer"
	ctl 'set d.img keep-revisions=0'
	ctl_fails EBADMSG 'fold d.img' "names '$WORK/victim' as its backing file"
	nobody_touched_the_victim
	cmp "$IMAGES/d.img" "$WORK/now.raw"
	cat "$WORK/layer" >"$layer"
	ctl 'fold d.img'
	image_reads d.img raw 2M 64k 3
}
promise "a fold refuses a layer whose header was rewritten" a_fold_looks

the_end() {
	stop_daemon
	nobody_touched_the_victim
	cmp "$WORK/victim" "$WORK/victim.copy"
}
promise "in the end the other file is what it was" the_end
