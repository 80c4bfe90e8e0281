#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The release of a saved domain with two disks, cut short at any step: both are held, and the guest comes back to its bytes, or neither is,
# and the restore is refused.
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
	ctl "prepare $uuid domain=d a.img target=vda b.img target=vdb"
}

guests_write() {
	local name
	for name in a.img b.img; do
		qemu_io -t unsafe -f qcow2 -c "write -q -P 2 512k 256k" -c "write -q -P 3 1500k 7k" "$MNT/$name"
	done
}

a_session() {
	ctl "prepare $uuid domain=d a.img target=vda armed=yes b.img target=vdb armed=yes"
	guests_write
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

release_saved() {
	ctl "release $uuid domain=d reason=saved saved=yes"
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
		ctl "announce $uuid"
		prepare
		same "$(which a.img after)$(which b.img after)" afterafter
	else
		ctl_fails ENOENT "prepare $uuid saved=yes a.img target=vda b.img target=vdb" "is gone"
		prepare
		same "$(which a.img before)$(which b.img before)" beforebefore
	fi
	images_untouched
}
promise "a crash at any step of the release of a saved domain: both disks are held or neither" \
	each_crash a_session release_saved held_or_not kill power:
