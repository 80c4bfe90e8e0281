#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libvirtd restarted under a running domain spells the disk's backing chain out in what it saves and gives to the hook.
# A save, its restore and the end of the domain work as before all the same.
. "$TESTS/libvirt/lib.sh"

install_hook
make_image web1.qcow2 qcow2 8M 1
image=$(checksum "$IMAGES/web1.qcow2")
start_daemon || fail "the daemon starts"
start_libvirt || fail "libvirtd starts"
domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"

restart_libvirt() {
	stop_libvirt && start_libvirt
}

restored_on_the_same_bytes() {
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	restart_libvirt
	virsh -q managedsave web1 >&2
	grep -qF '<backingStore type=' < <(virsh managedsave-dumpxml web1)
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 8 2M 64k'
}
promise "a managed save after a restart of libvirtd resumes on the same bytes" restored_on_the_same_bytes

saved_once_more() {
	virsh -q managedsave web1 >&2
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
}
promise "... and so does the save after that" saved_once_more

saved_to_a_file() {
	restart_libvirt
	virsh -q save web1 "$WORK/web1.sav" >&2
	virsh -q restore "$WORK/web1.sav" >&2
	guest_io web1 vda 'read -P 8 2M 64k'
}
promise "... and a save to a file of one's own" saved_to_a_file

reverted_at_the_end() {
	restart_libvirt
	shutdown_domain web1
	same "$(checksum "$IMAGES/web1.qcow2")" "$image"
	start_domain web1
	guest_io web1 vda 'read -P 1 1M 64k'
	guest_io web1 vda 'read -P 1 2M 64k'
	destroy_domain web1
}
promise "a domain that outlived libvirtd is reverted at its end" reverted_at_the_end
