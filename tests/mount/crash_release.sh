#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The release of a domain with two disks, cut short at any step: both disks are committed or neither is, and what was not
# committed is put aside by the next prepare.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k" "write -q -P 3 1500k 7k"
model more after "write -q -P 4 0 64k"

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
# ---- release with a commit

release_commit() {
	ctl "release $uuid domain=d reason=shutdown vda armed=yes vdb armed=yes"
}

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
	guests_write
	guest_write a.img 0 64k 4
	release_commit
	same "$(which a.img more)$(which b.img after)" moreafter
	prepare
	same "$(which a.img more)$(which b.img after)" moreafter
}

promise "a crash at any step of the release of two disks that are committed: both or neither" \
	each_crash a_session release_commit both_or_neither alternating
