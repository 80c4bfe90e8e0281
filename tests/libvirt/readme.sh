#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A libvirt host is set up from zero by the README's own lines, and its domain reverts and commits as they say.
# shellcheck source=tests/libvirt/lib.sh
. "$TESTS/libvirt/lib.sh"
# shellcheck source=tests/libvirt/readme.bash
. "$TESTS/libvirt/readme.bash"
blocks_of "On a libvirt host"
cd "$WORK/blocks" || exit

off() {
	paste 5 && wait_until 20 domain_is web1 "shut off"
}

mkdir -p "$IMAGES"
make_image web1.qcow2 qcow2 16M 0x11
start_libvirt || fail "libvirtd starts"
define_domain web1 "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.qcow2")" || fail "the domain is defined"

is_set_up() {
	paste 1
	mount_answers
	[[ -x /etc/libvirt/hooks/qemu.d/revertfs ]]
	paste 2
	paste 3
}
promise "the host is set up" is_set_up

shows_its_chain() {
	paste 4 >"$WORK/start.log"
	grep -q '^web1.qcow2 .* web1 ' "$WORK/start.log"
	grep -F "<source file='$MNT/.revertfs/layers/$(status_of web1.qcow2 .head).backing_file.img'/>" "$WORK/start.log"
	grep -F "vda (web1.qcow2): reverts: what this session writes is thrown away when it ends." "$WORK/start.log"
}
promise "the domain starts, and its XML shows what the disk stands on" shows_its_chain

reverts() {
	guest_io web1 vda 'write -P 0x22 0 1M'
	off
	start_domain web1
	guest_io web1 vda 'read -P 0x11 0 1M'
	off
}
promise "what the guest wrote is gone" reverts

commits_once() {
	paste 6
	start_domain web1
	guest_io web1 vda 'write -P 0x33 0 1M'
	off
	same "$(jq '.disks[0]["one-shot-commit"]' /etc/libvirt/hooks/config/web1.json)" false
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 0 1M 0x33
	image_reads web1.qcow2 qcow2 1M 15M 0x11
}
promise "an armed session is kept, in the real image, and only that one" commits_once

# ---- "I want to update the VM"

mkdir "$WORK/bin" && ln -s "$REVERTCTL" "$WORK/bin/revertctl"
export PATH=$WORK/bin:$PATH
blocks_of "I want to update the VM" 21

# update N PATTERN: the block, line by line, with a guest that is updated where it runs, and a reader who waits until it is off.
update() {
	local line
	while read -r line; do
		eval "$line" >&2
		case $line in
		"virsh start "*) guest_io web1 vda "write -P $2 2M 64k" ;;
		"virsh shutdown "*) wait_until 20 domain_is web1 "shut off" ;;
		esac
	done <"$WORK/blocks/$1"
}

# The update is there in the sessions that follow, and what these write is not.
is_updated() {
	local round
	for round in 1 2; do
		start_domain web1
		guest_io web1 vda "read -P $1 2M 64k"
		guest_io web1 vda "write -P $((99 + round)) 2M 64k"
		destroy_domain web1
	done
}

updated_once() {
	update 21 0x44
	is_updated 0x44
}
promise "to update the VM: one session is kept" updated_once

updated_without_its_file() {
	update 22 0x55
	is_updated 0x55
	same "$(status_of web1.qcow2 '[.layers[].names[]] | length')" 0
}
promise "... or all of those without its file, once that is said" updated_without_its_file

disowned() {
	update 23 0
	start_domain web1
	guest_io web1 vda "read -P 0x55 2M 64k"
	guest_io web1 vda "write -P 0x66 2M 64k"
	destroy_domain web1
	image_reads web1.qcow2 qcow2 2M 64k 0x66
}
promise "... or the domain gets its image back" disowned
