#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The mark of an image that takes no xattrs is a file beside the images. Whatever step of the first commit or of the last fold is cut
# short: no head is a layer without the mark, and none stays when the layers are gone. (Each crash test asks this of xattrs.)
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
export FAULT_NO_XATTRS=yes
# shellcheck disable=SC2034 # for lib.sh
lost_is_fine=yes
((STRIDE == 1)) || STRIDE=5 # the steps are those of other crash tests, but for the mark's

make_image d.img raw 2M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k"

a_guest_writes() {
	guest_write d.img 512k 256k 2
}

commit_and_fold() {
	ctl 'commit d.img' && ctl 'fold d.img'
}

is_unmarked() {
	same "$(find "$IMAGES/.revertfs" -name 'mark*' 2>/dev/null)" ""
}

old_or_new() {
	local found
	ctl 'reset d.img' >&2
	found=$(which d.img before after)
	[[ $found == after ]] || ! is_done || { echo "a commit that was answered was lost" >&2; return 1; }
	[[ $found != mixture ]] || { echo "a mixture" >&2; return 1; }
	is_mended
	ctl 'fold d.img' >&2
	is_mended
	wait_until 20 is_unmarked
}

start_faulty || fail "the daemon starts"
ctl 'protect d.img' >/dev/null || fail "the image can be protected"
keep_setup
promise "SIGKILL or a loss of power at any step of a commit and its fold, where a file is the mark" \
	each_crash a_guest_writes commit_and_fold old_or_new alternating

# ---- failures

commits() {
	ctl 'commit d.img'
}

bears_it() {
	ctl 'set d.img keep-revisions=0'
	ctl 'fold d.img'
	is_done || commits
	ctl 'fold d.img'
	ctl 'reset d.img'
	same "$(which d.img before after)" after
	# What could not be removed goes at the next start.
	[[ $AGAIN == no ]] || wait_until 20 is_unmarked
}

promise "an I/O error at any step of the first commit, where a file is the mark" each_failure a_guest_writes commits bears_it EIO
