#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The release of a domain with two disks, cut short at any step: both disks are committed or neither is, and what was not
# committed is put aside by the next prepare.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/domain.sh"

model more after "write -q -P 4 0 64k"

# What was not committed is put aside by the next prepare, which begins with what was.
both_or_neither() {
	local a b disk
	images_untouched || { wait_until 20 job_is_done a.img && wait_until 20 job_is_done b.img; }
	if [[ $HOW == kill ]]; then
		same "$(which a.img after)$(which b.img after)" afterafter
	fi
	prepare
	a=$(which a.img before after)
	b=$(which b.img before after)
	same "$a" "$b"
	[[ $a == after || ($a == before && ! -e $WORK/done) ]]
	if [[ $HOW == kill ]]; then
		is_mended
		for disk in a.img b.img; do
			[[ $a == after ]] || status_of "$disk" '.layers[].names[]' | grep -q '^uncommitted-'
		done
	fi
	guests_write unsafe
	guest_write a.img 0 64k 4
	release_commit
	same "$(which a.img more)$(which b.img after)" moreafter
	prepare
	same "$(which a.img more)$(which b.img after)" moreafter
}

promise "a crash at any step of the release of two disks that are committed: both or neither" \
	each_crash an_armed_session release_commit both_or_neither alternating
