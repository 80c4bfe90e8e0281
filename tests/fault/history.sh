# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A disk with two snapshots, one above the other, and changes in its scratch; and what must be so of it when a verb has been cut short.

# shellcheck disable=SC2034,SC2154 # shared with lib.sh and the scripts
make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
model one before "write -q -P 2 1M 512k"
model two one "write -q -P 4 1200k 900k"
model three two "write -q -P 6 1300k 100k" "write -q -z 2M 64k"

write_one() {
	guest_write d.img 1M 512k 2
}

write_two() {
	guest_write d.img 1200k 900k 4
}

write_three() {
	qemu_io -f qcow2 -c "write -q -P 6 1300k 100k" -c "write -q -z 2M 64k" "$MNT/d.img"
}

two_snapshots() {
	ctl 'protect d.img'
	ctl 'snapshot d.img installed'
	write_one
	ctl 'snapshot d.img one'
	write_two
	ctl 'snapshot d.img two'
}

nothing() {
	:
}

untouched() {
	cmp "$IMAGES/d.img" "$WORK/before.raw"
}

points() {
	status_of d.img '.layers[].names[]'
}

has_point() {
	points | grep -qx -- "$1"
}

# point_is NAME MODEL: what its layer reads.
point_is() {
	local layer
	layer=$(status_of d.img ".layers[] | select(.names | index(\"$1\")) | .file")
	qemu-img compare -q -f raw -F qcow2 "$WORK/$2.raw" "$layer"
}

# What nobody has touched is as it was.
the_others_are_there() {
	is_mended
	untouched
	point_is one one
	point_is two two
}

start_daemon && two_snapshots >/dev/null || fail "a disk with two snapshots"
keep_setup
