#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What revertfs replaces does not survive the machine's crash: the hook that renames the image aside destroys it,
# and libvirt's own <transient/> disk never starts again. If these pass no more, crash_host crashes nothing.
. "$TESTS/libvirt/lib.sh"

# The hook of common advice, as far as it spares nothing that a crash has left.
sed '/is spared$/d' "$TESTS/libvirt/renaming-hook" >"$WORK/renaming-hook"
install_hook "$WORK/renaming-hook" renaming
start_libvirt || fail "libvirtd starts"

make_image web1.img raw 8M 1
make_image web2.qcow2 qcow2 8M 1
image=$(checksum "$IMAGES/web1.img")

image_is_as_before() {
	same "$(checksum "$IMAGES/web1.img")" "$image"
}

renaming_works_until_the_crash() {
	define_domain renamed "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.img")"
	domain_json renamed <<<'{ "disks": [ { "target": "vda", "one-shot-commit": false } ] }'
	start_domain renamed
	guest_io renamed vda 'write -P 2 0 64k'
	guest_io renamed vda 'read -P 2 0 64k'
	refuses guest_io renamed vda 'read -P 1 0 64k'
	shutdown_domain renamed
	image_is_as_before
}
promise "the renaming hook reverts a disk while nothing crashes" renaming_works_until_the_crash

transient_works_until_the_crash() {
	define_domain transient "$(uuid_of 2)" "$(DISK_MORE='<transient/>' disk vda "$IMAGES/web2.qcow2")"
	start_domain transient
	guest_io transient vda 'write -P 2 0 64k'
	destroy_domain transient
	start_domain transient
	guest_io transient vda 'read -P 1 0 64k'
}
promise "a transient disk reverts while nothing crashes" transient_works_until_the_crash

start_domain renamed || not_ok "the renamed domain starts again"
crash_host || fail "the machine crashes"
start_libvirt || fail "libvirtd starts after the crash"

renaming_destroys_the_image() {
	# The scratch is taken for the image and becomes its own backing file: qemu-img must not be waited for.
	virsh dumpxml --inactive renamed | (ulimit -v 2000000 -t 5 && timeout 10 "$HOOK_DIR/renaming" renamed prepare begin -) || :
	refuses image_is_as_before
	refuses same "$(checksum "$IMAGES/web1.img.backing_file")" "$image"
}
promise "the renaming hook destroys the image after the machine's crash" renaming_destroys_the_image

transient_is_stuck() {
	refuses start_domain transient
	says "already exists"
}
promise "a transient disk never starts again after the machine's crash" transient_is_stuck
