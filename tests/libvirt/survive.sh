#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A running domain does not notice that the daemon beneath its disk is killed or replaced, again and again: no I/O error in its
# log, its data right, and it reverts, or is committed, at its end as ever. With passthrough and without.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 64M 1
image=$(checksum "$IMAGES/web1.qcow2")
install_hook
start_kept || fail "the keeper and its daemon start"
start_libvirt || fail "libvirtd starts"
domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"

guest_works() {
	local block=$((RANDOM % 60)) pattern=$((RANDOM % 200 + 2))
	guest_io web1 vda "write -P $pattern ${block}M 256k"
	guest_io web1 vda "read -P $pattern ${block}M 256k"
	echo "$block $pattern" >>"$WORK/written"
}

# Of each block, what was written last.
written_is_there() {
	local block pattern
	while read -r block pattern; do
		guest_io web1 vda "read -P $pattern ${block}M 256k"
	done < <(tac "$WORK/written" | sort -snuk 1,1)
}

under_restarts() {
	rm -f "$WORK/written"
	start_domain web1
	same "$(status_of web1.qcow2 .passthrough)" "$1"
	under_fire 10 guest_works
	for _ in {1..10}; do
		kill -USR1 "$(daemon_pid)"
		guest_works
	done
	(($(status .restarts) >= 15))
	written_is_there
	same "$(virsh domstate web1)" running
	same "$(virsh domblkerror web1)" "No errors found"
	refuses grep -iE 'error|fail' <(grep -v 'shutting down' "/var/log/libvirt/qemu/web1.log" | sed '1,/^char device\|^2[0-9-]*.*starting up/d')
}
promise "20 restarts under a domain that reads and writes: it does not notice" under_restarts "$([[ ${PASSTHROUGH:-} == no ]] && echo false || status .passthrough)"

it_reverts() {
	shutdown_domain web1
	same "$(checksum "$IMAGES/web1.qcow2")" "$image"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 64M'
}
promise "... and then reverts as ever" it_reverts

it_is_committed() {
	shutdown_domain web1
	domain_json web1 <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
	start_domain web1
	guest_io web1 vda 'write -P 77 1M 256k'
	kill_serving
	guest_io web1 vda 'write -P 78 2M 256k'
	kill_serving
	shutdown_domain web1
	grep -q '"one-shot-commit":false' /etc/libvirt/hooks/config/web1.json
	ctl 'fold web1.qcow2' >/dev/null
	image_reads web1.qcow2 qcow2 1M 256k 77
	image_reads web1.qcow2 qcow2 2M 256k 78
}
promise "... and what was armed is committed, whatever the daemon died of meanwhile" it_is_committed

saved_and_restored() {
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	start_domain web1
	guest_io web1 vda 'write -P 7 3M 64k'
	virsh -q managedsave web1 >&2
	kill_serving
	start_domain web1
	guest_io web1 vda 'read -P 7 3M 64k'
	destroy_domain web1
}
promise "... and a managed save outlives it too" saved_and_restored
