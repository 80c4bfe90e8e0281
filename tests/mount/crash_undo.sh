#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Undo and a new size, each cut short at any step: the disk is as before or as after, the image is not
# touched, and the same command can be given again.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
model one before "write -q -P 2 1M 512k"
model two one "write -q -P 4 1200k 900k"
model three two "write -q -P 6 1300k 100k"
model again one "write -q -P 8 0 64k"

nothing() {
	:
}

untouched() {
	cmp "$IMAGES/d.img" "$WORK/before.raw"
}

protect() {
	ctl 'protect d.img'
}

reset() {
	ctl 'reset d.img'
}

# ---- undo, with changes in the scratch; a larger size

undo() {
	ctl 'undo d.img'
}

dirty_on_top() {
	guest_write d.img 1300k 100k 6
}

undone_or_not() {
	local found
	untouched
	is_mended
	[[ $(which d.img one two three) != mixture ]]
	reset
	found=$(which d.img one two)
	[[ $found == one || ($found == two && ! -e $WORK/done) ]]
	[[ $found == one ]] || undo
	same "$(which d.img one)" one
	guest_write d.img 0 64k 8
	ctl 'commit d.img'
	same "$(which d.img again)" again
	is_mended
}

two_commits() {
	ctl 'set d.img keep-revisions=9'
	guest_write d.img 1M 512k 2
	ctl 'commit d.img'
	guest_write d.img 1200k 900k 4
	ctl 'commit d.img'
}

start_daemon && protect && two_commits >/dev/null || fail "two commits"
keep_setup
promise "undo cut short: the last commit counts or it does not, and nothing of it is lost" \
	each_crash dirty_on_top undo undone_or_not alternating

# Whoever opens the disk for writing without a session has his scratch kept, though he writes nothing.
opened_for_writing() {
	qemu-io -f qcow2 -c 'read -q 0 512' "$MNT/d.img"
	same "$(status_of d.img .kept)" unhooked
}

grow() {
	ctl 'set d.img size=6M'
}

virtual_size() {
	qemu-img info -f qcow2 --output=json "$MNT/d.img" | jq '."virtual-size"'
}

grown_or_not() {
	untouched
	is_mended
	same "$(which d.img two)" two
	[[ $(virtual_size) == 6291456 || ($(virtual_size) == 4194304 && ! -e $WORK/done) ]]
	grow
	same "$(virtual_size)" 6291456
	same "$(which d.img two)" two
	guest_write d.img 5M 1M 9
	ctl 'commit d.img'
	ctl 'set d.img keep-revisions=0'
	ctl 'fold d.img'
	same "$(stat -c %s "$IMAGES/d.img")" 6291456
	image_reads d.img raw 5M 1M 9
	is_mended
}
# shellcheck disable=SC2034
lost_is_fine=yes # the larger layer, which holds no data, before its record
promise "a new size cut short: the disk has the old or the new one" each_crash nothing grow grown_or_not alternating
# Without its power such a scratch may be torn, and is kept as it is.
promise "... also where the daemon is killed, and the scratch is to be kept" each_crash opened_for_writing grow grown_or_not kill
