# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A domain with two protected disks at rest, its sessions, and what its guest writes in them.

UUID=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k" "write -q -P 3 1500k 7k"

protect_both() {
	start_daemon
	ctl 'protect a.img'
	ctl 'protect b.img'
	ctl 'set a.img keep-revisions=9'
	ctl 'set b.img keep-revisions=9'
}
protect_both >/dev/null || fail "the images can be protected"
keep_setup

images_untouched() {
	cmp "$IMAGES/a.img" "$WORK/before.raw"
	cmp "$IMAGES/b.img" "$WORK/before.raw"
}

prepare() {
	ctl "prepare $UUID domain=d a.img target=vda b.img target=vdb"
}

prepare_armed() {
	ctl "prepare $UUID domain=d a.img target=vda armed=yes b.img target=vdb armed=yes"
}

# guests_write CACHE: with "unsafe" nothing is flushed.
guests_write() {
	local name
	for name in a.img b.img; do
		qemu_io -t "$1" -f qcow2 -c "write -q -P 2 512k 256k" -c "write -q -P 3 1500k 7k" "$MNT/$name"
	done
}

a_session() {
	prepare
	guests_write unsafe
}

an_armed_session() {
	prepare_armed
	guests_write unsafe
}

an_unhooked_guest() {
	guests_write writeback
}

release_reset() {
	ctl "release $UUID domain=d reason=shutdown vda vdb"
}

release_commit() {
	ctl "release $UUID domain=d reason=shutdown vda armed=yes vdb armed=yes"
}
