#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Another content of an image, taken or given room by `set image=new`, and a moved image protected at its new name, each cut short at any step:
# afterwards the same can be done again, no disk reads a mixture, and what was given up is in lost/.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image d.img raw 4M 1
make_image other raw 5M 2
mv "$IMAGES/other" "$WORK/new.raw"
cp "$IMAGES/d.img" "$WORK/old.raw"
model layered old "write -q -P 3 1M 512k"
model cloned old "write -q -P 4 2M 512k"

replaced() {
	cat "$WORK/new.raw" >"$IMAGES/d.img"
}
reset_clone() {
	ctl 'reset c.img'
}
all_new() {
	local name
	for name; do same "$name: $(which "$name" new)" "$name: new"; done
}

# ---- nothing stands on it

start_daemon && ctl 'protect d.img' && ctl 'clone d.img c.img' && ctl 'clone d.img e.img' || fail "a template and two clones"
keep_setup

# A power cut takes the bytes that nobody synced, and the administrator copies again. Where a clone's scratch could not be made anew, the log
# says that it waits for its reset.
taken_or_not() {
	is_mended
	[[ $HOW != power* ]] || replaced
	ctl 'reset c.img'
	ctl 'reset d.img'
	[[ $HOW != fail ]] || ctl 'reset e.img'
	all_new c.img d.img e.img
	is_sound c.img
	same "$(find "$STATE/lost" -type f)" ""
}
promise "another content is taken, or is taken next time" each_crash replaced reset_clone taken_or_not alternating
promise "a failure to take it is told, and the next one takes it" each_failure replaced reset_clone taken_or_not EIO

# ---- layers, a name, a clone's layer and what a clone wrote stand on it

restart_daemon && ctl 'set d.img keep-revisions=3' && ctl 'snapshot d.img empty' && guest_write d.img 1M 512k 3 && ctl 'commit d.img' &&
	guest_write c.img 2M 512k 4 && ctl 'commit c.img' && guest_write e.img 0 64k 5 || fail "what stands on it"
keep_setup

set_new() {
	ctl 'set d.img image=new'
}
# Of a scratch a power cut may leave anything, since nobody has synced it.
given_up_or_not() {
	[[ $HOW != power* ]] || replaced
	is_done && [[ $HOW != power* ]] || set_new
	all_new c.img d.img e.img
	same "$(status '[.disks[].layers[].id] | unique | length')" 1
	same "$(status '[.disks[].layers[].names[]] | length')" 0
	# A file that could not be unlinked goes at the next start.
	if [[ $HOW != fail || $AGAIN == yes ]]; then
		is_mended
		same "$(find "$STATE/layers" -name '*.qcow2' | wc -l)" 0
	fi
	# What the two layers and the scratch held can be looked at.
	same "$(find "$STATE/lost" -type f -not -name '*scratch*' -size +512k | wc -l)" 2
	[[ $HOW == power* ]] || same "$(find "$STATE/lost" -type f -name '*scratch*' -size +64k | wc -l)" 1
	ctl 'reset e.img'
	all_new e.img
}
# shellcheck disable=SC2034
lost_is_fine=yes
promise "what stood on the old content is given up, or given up when told again" each_crash replaced set_new given_up_or_not alternating
promise "a failure to give it up is told, and it is given up when told again" each_failure replaced set_new given_up_or_not EIO

# ---- moved, and protected where it is now

restart_daemon
rm -f "$MNT/c.img" "$MNT/e.img"
ctl 'unprotect d.img force=yes' || fail "the disk alone"
cp "$WORK/old.raw" "$IMAGES/d.img"
ctl 'protect d.img' || fail "a disk"
rm -f "$STATE"/lost/*
keep_setup

moved() {
	[[ ! -e $IMAGES/m.img ]] || ctl 'unprotect m.img' || true
	mv "$IMAGES/d.img" "$IMAGES/m.img"
}
protect_moved() {
	ctl 'protect m.img'
}
protected_or_not() {
	is_done || [[ $(status_of m.img .name) ]] || protect_moved
	same "$(which m.img old)" old
	guest_write m.img 1M 512k 3
	ctl 'commit m.img'
	wait_until 10 job_is_done m.img
	same "$(which m.img layered)" layered
	# The disk that lost it begins with what it finds when it is back.
	ctl 'unprotect m.img'
	mv "$IMAGES/m.img" "$IMAGES/d.img"
	ctl 'reset d.img'
	same "$(which d.img layered)" layered
}
promise "a moved image is protected at its new name, or not yet" each_crash moved protect_moved protected_or_not alternating
