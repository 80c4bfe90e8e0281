#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A commit of disks that grew, cut short at any step by SIGKILL or by a loss of power, leaves each with its old content and size or with
# the new ones; the next start mends what is left, and the images grow with the folds.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

# The steps are those of crash_release; every other of its samples will do.
((STRIDE == 1)) || STRIDE=$((2 * STRIDE))

uuid=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.qcow2 qcow2 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
cp "$IMAGES/a.img" "$WORK/grown.raw" && truncate -s 6M "$WORK/grown.raw"
model after grown "write -q -P 2 1M 256k" "write -q -P 3 5M 64k"

both_grew() {
	local name
	ctl "prepare $uuid domain=d a.img target=vda armed=yes b.qcow2 target=vdb armed=yes"
	for name in a.img b.qcow2; do
		qemu-img resize -q -f qcow2 "$MNT/$name" 6M
		qemu_io -t unsafe -f qcow2 -c "write -q -P 2 1M 256k" -c "write -q -P 3 5M 64k" "$MNT/$name"
	done
}

release() {
	ctl "release $uuid domain=d reason=shutdown vda armed=yes vdb armed=yes"
}

size_of() {
	qemu-img info -U --output=json -f "$2" "$1" | jq '."virtual-size"'
}

# Both are old, or both are new, as large as what they read as. What was not committed is in a snapshot, if a loss of power left it.
old_or_new() {
	local name format found='' size
	ctl "prepare $uuid domain=d a.img target=vda b.qcow2 target=vdb" >&2
	ctl "release $uuid domain=d reason=shutdown vda vdb" >&2
	for name in a.img b.qcow2; do
		found+=" $(which "$name" before after)"
		size=$(size_of "$MNT/$name" qcow2)
		same "$(status_of "$name" .virtual_size)" "$size"
		same "${found##* } $size" "$([[ $found == *before ]] && echo "before $((2 << 20))" || echo "after $((6 << 20))")"
		is_sound "$name"
	done
	[[ $found == ' before before' || $found == ' after after' ]] || { echo "a mixture:$found" >&2; return 1; }
	[[ $found == ' after after' ]] || ! is_done || { echo "a commit that was answered was lost" >&2; return 1; }
	is_mended
	[[ $found == ' after after' ]] || return 0
	for name in a.img b.qcow2; do
		format=$([[ $name == *.img ]] && echo raw || echo qcow2)
		ctl "set $name keep-revisions=0" >&2
		ctl "fold $name" >&2
		image_is "$name" "$format" after
		same "$(size_of "$IMAGES/$name" "$format")" $((6 << 20))
		image_is_sound "$name"
	done
	is_mended
}

start_daemon || fail "the daemon starts"
for name in a.img b.qcow2; do
	ctl "protect $name" >/dev/null && ctl "set $name keep-revisions=9" >/dev/null || fail "the images can be protected"
done
keep_setup
promise "a crash at any step of a commit of two disks that grew: old or new, content and size" \
	each_crash both_grew release old_or_new alternating
