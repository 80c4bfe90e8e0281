#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Protect, unprotect and reset, each cut short at any step: the disk is as before or as after, the image is not
# touched, and the same command can be given again.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
model one before "write -q -P 2 1M 512k"

nothing() {
	:
}

untouched() {
	cmp "$IMAGES/d.img" "$WORK/before.raw"
}

# ---- protect

protect() {
	ctl 'protect d.img'
}

is_protected() {
	[[ $(status_of d.img .name) == d.img ]]
}

protected_or_not() {
	untouched
	is_mended
	is_protected || ! is_done
	if ! is_protected; then
		cmp "$MNT/d.img" "$WORK/before.raw"
		same "$(find "$STATE/disks" "$STATE/layers" -mindepth 1)" ""
		protect
	fi
	same "$(which d.img before)" before
	guest_write d.img 1M 512k 2
	ctl 'commit d.img'
	ctl 'fold d.img'
	image_is d.img raw one
}

start_daemon || fail "the daemon starts"
keep_setup
promise "protect cut short: the image is protected or it is not" each_crash nothing protect protected_or_not kill power:

# ---- unprotect and reset, of a disk that is as its image

unprotect() {
	ctl 'unprotect d.img'
}

unprotected_or_not() {
	untouched
	is_mended
	! is_protected || ! is_done
	if is_protected; then
		same "$(which d.img before)" before
		unprotect
	fi
	cmp "$MNT/d.img" "$WORK/before.raw"
	same "$(find "$STATE/disks" "$STATE/layers" -mindepth 1)" ""
	protect
	same "$(which d.img before)" before
}

rm -rf "$STATE"
start_daemon && protect >/dev/null || fail "the image can be protected"
keep_setup
promise "unprotect cut short: the image is protected or it is not" each_crash nothing unprotect unprotected_or_not kill power:

dirty() {
	guest_write d.img 1M 512k 2
}

reset() {
	ctl 'reset d.img'
}

reset_or_not() {
	local found
	untouched
	is_mended
	found=$(which d.img before one)
	[[ $found != mixture && ($found == before || $HOW != kill || ! -e $WORK/done) ]]
	reset
	same "$(which d.img before)" before
	is_sound d.img
	dirty
	same "$(which d.img one)" one
}
# What a power cut leaves of a scratch is thrown away or is whole: it was flushed.
promise "reset cut short: the scratch is the old or a fresh one" each_crash dirty reset reset_or_not kill power
