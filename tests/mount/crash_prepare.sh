#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Prepare, and a release that resets, of a domain with two disks, cut short at any step: the next session begins afresh, and what an
# earlier one left is put aside once and whole.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/domain.sh"

reset_in_the_end() {
	images_untouched
	is_mended
	prepare
	same "$(which a.img before)$(which b.img before)" beforebefore
	images_untouched
	guests_write unsafe
	release_commit
	same "$(which a.img after)$(which b.img after)" afterafter
}
promise "a crash at any step of a release that resets: the next session begins afresh" \
	each_crash a_session release_reset reset_in_the_end alternating

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
	each_crash an_unhooked_guest prepare_armed put_aside alternating
