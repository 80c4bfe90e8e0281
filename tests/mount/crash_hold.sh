#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The release of a saved domain with two disks, cut short at any step: both are held, and the guest comes back to its bytes, or neither is,
# and the restore is refused.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/domain.sh"

release_saved() {
	ctl "release $UUID domain=d reason=saved saved=yes"
}

holds() {
	status "[.disks[] | select(.hold)] | length"
}

held_or_not() {
	local held
	images_untouched
	held=$(holds)
	[[ $held == 2 || ($held == 0 && ! -e $WORK/done) ]]
	[[ $HOW != kill ]] || is_mended
	if [[ $held == 2 ]]; then
		ctl "announce $UUID"
		prepare
		same "$(which a.img after)$(which b.img after)" afterafter
	else
		ctl_fails ENOENT "prepare $UUID saved=yes a.img target=vda b.img target=vdb" "is gone"
		prepare
		same "$(which a.img before)$(which b.img before)" beforebefore
	fi
	images_untouched
}
promise "a crash at any step of the release of a saved domain: both disks are held or neither" \
	each_crash an_armed_session release_saved held_or_not kill power:
