#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Prepare, and a release that resets, of a domain with two disks, cut short at any step: the next session begins afresh, and what an
# earlier one left is put aside once and whole.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k" "write -q -P 3 1500k 7k"

images_untouched() {
	cmp "$IMAGES/a.img" "$WORK/before.raw"
	cmp "$IMAGES/b.img" "$WORK/before.raw"
}

prepare() {
	ctl "prepare $uuid domain=d a.img target=vda b.img target=vdb armed=${1:-no}"
}

guests_write() {
	local name
	for name in a.img b.img; do
		qemu_io -t unsafe -f qcow2 -c "write -q -P 2 512k 256k" -c "write -q -P 3 1500k 7k" "$MNT/$name"
	done
}

release_commit() {
	ctl "release $uuid domain=d reason=shutdown vda armed=yes vdb armed=yes"
}

protect_both() {
	start_daemon
	ctl 'protect a.img'
	ctl 'protect b.img'
	ctl 'set a.img keep-revisions=9'
	ctl 'set b.img keep-revisions=9'
}
protect_both >/dev/null || fail "the images can be protected"
keep_setup
# ---- release with a reset, and prepare

another_session() {
	ctl "prepare $uuid domain=d a.img target=vda b.img target=vdb"
	guests_write
}

release_reset() {
	ctl "release $uuid domain=d reason=shutdown vda vdb"
}

reset_in_the_end() {
	images_untouched
	is_mended
	prepare
	same "$(which a.img before)$(which b.img before)" beforebefore
	images_untouched
	guests_write
	release_commit
	same "$(which a.img after)$(which b.img after)" afterafter
}
promise "a crash at any step of a release that resets: the next session begins afresh" \
	each_crash another_session release_reset reset_in_the_end alternating

an_unhooked_guest() {
	local name
	for name in a.img b.img; do
		qemu_io -f qcow2 -c "write -q -P 2 512k 256k" -c "write -q -P 3 1500k 7k" "$MNT/$name"
	done
}

begin() {
	prepare yes
}

# The leftover, which was flushed, is put aside once and whole.
put_aside() {
	local name
	images_untouched
	is_mended
	# A new boot finds the fresh scratch of an armed session, which may be torn: nobody wrote it, the next prepare puts it away.
	[[ -e $WORK/done && $HOW == kill ]] || prepare
	for name in a.img b.img; do
		same "$(which $name before)" before
		same "$(status_of $name '[.layers[].names[] | select(startswith("unhooked-"))] | length')" 1
		[[ $HOW != kill ]] || same "$(status_of $name '[.layers[].names[]] | length')" 1
		is_aside $name
	done
	images_untouched
}

# The layer that was put aside reads as what the guest wrote: looked at with qemu-io through the layer's view.
is_aside() {
	local file
	file=$(status_of "$1" '.layers[] | select(.names[0] // "" | startswith("unhooked-")) | .file')
	qemu-img compare -q -f raw -F qcow2 "$WORK/after.raw" "$file"
}
promise "a crash at any step of a prepare that puts leftovers aside: they are there, once, and the disks begin afresh" \
	each_crash an_unhooked_guest begin put_aside alternating
