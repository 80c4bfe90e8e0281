#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Snapshots, reverts and deletions between a domain's lives, and clones of its disk: the guest finds what was said, libvirt
# shows the chain that it stands on, and no path in any domain's XML ever changes.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
start_host -o protect=web1.qcow2
domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")" || fail "the domain is defined"
virsh dumpxml --inactive web1 >"$WORK/web1.xml"

xml_is_as_ever() {
	virsh dumpxml --inactive web1 | diff "$WORK/web1.xml" - >&2
}

layer_named() {
	status_of web1.qcow2 ".layers[] | select(.names | index(\"$1\")) | .file"
}

# chain_is FILE...: what libvirt found below the running domain's disk, from the top down.
chain_is() {
	same "$(backing_chain web1 | tr '\n' ' ')" "$* "
	virsh dumpxml web1 | grep backing_file
}

REAL=$MNT/.revertfs/layers/$(status_of web1.qcow2 .head).backing_file.img

# A session that is kept, under a name.
a_session_named() {
	start_domain web1
	guest_io web1 vda "write -P $2 $3 64k"
	ctl "commit web1.qcow2 at=release"
	shutdown_domain web1
	ctl "snapshot web1.qcow2 $1 note=\"after session $1\""
}

three_snapshots() {
	# Nothing is folded into what has a name: the image stays as it was installed.
	ctl "snapshot web1.qcow2 installed"
	a_session_named one 11 1M
	a_session_named two 12 2M
	a_session_named three 13 3M
	same "$(status_of web1.qcow2 '[.layers[] | select(.parent) | "\(.names[0]) by \(.domain)"] | join(", ")')" \
		"three by web1, two by web1, one by web1"
	start_domain web1
	chain_is "$(layer_named three)" "$(layer_named two)" "$(layer_named one)" "$REAL"
	guest_io web1 vda 'read -P 11 1M 64k'
	guest_io web1 vda 'read -P 12 2M 64k'
	guest_io web1 vda 'read -P 13 3M 64k'
	# A running disk is not reverted.
	ctl_fails EBUSY "revert web1.qcow2 two"
	shutdown_domain web1
	xml_is_as_ever
}
promise "three sessions are kept as snapshots, and dumpxml shows the chain of them" three_snapshots

back_to_the_second() {
	ctl "revert web1.qcow2 two"
	start_domain web1
	chain_is "$(layer_named two)" "$(layer_named one)" "$REAL"
	guest_io web1 vda 'read -P 12 2M 64k'
	guest_io web1 vda 'read -P 1 3M 64k'
	guest_io web1 vda 'write -P 21 2M 64k'
	shutdown_domain web1
	start_domain web1
	guest_io web1 vda 'read -P 12 2M 64k'
	xml_is_as_ever
}
promise "reverted to the second, the domain starts on it, again and again" back_to_the_second

# While the domain runs on it.
the_first_is_deleted() {
	ctl "delete web1.qcow2 one"
	guest_io web1 vda 'read -P 11 1M 64k'
	status_of web1.qcow2 .job.waits_for | grep "'web1.qcow2' is in a session"
	shutdown_domain web1
	wait_until 20 job_is_done web1.qcow2
	same "$(points web1.qcow2 | sort | tr '\n' ' ')" "installed three two "
	image_reads web1.qcow2 qcow2 0 8M 1
	same "$(status_of web1.qcow2 '.layers | length')" 3
	start_domain web1
	chain_is "$(layer_named two)" "$REAL"
	guest_io web1 vda 'read -P 11 1M 64k'
	guest_io web1 vda 'read -P 12 2M 64k'
	shutdown_domain web1
	xml_is_as_ever
}
promise "the first is deleted while the domain runs; what the second needs of it stays" the_first_is_deleted

forward_to_the_third() {
	ctl "revert web1.qcow2 three"
	start_domain web1
	chain_is "$(layer_named three)" "$(layer_named two)" "$REAL"
	guest_io web1 vda 'read -P 13 3M 64k'
	# A branch beside it: a snapshot of the guest while it is paused.
	guest_io web1 vda 'write -P 31 4M 64k'
	virsh -q suspend web1 >&2
	ctl "snapshot web1.qcow2 running live=yes consistency=quiesced"
	virsh -q resume web1 >&2
	guest_io web1 vda 'write -P 32 4M 64k'
	guest_io web1 vda 'read -P 32 4M 64k'
	destroy_domain web1
	ctl "revert web1.qcow2 running"
	start_domain web1
	chain_is "$(layer_named running)" "$(layer_named three)" "$(layer_named two)" "$REAL"
	guest_io web1 vda 'read -P 31 4M 64k'
	shutdown_domain web1
	xml_is_as_ever
}
promise "the third is still there, and so is a snapshot of the running guest" forward_to_the_third

# ---- clones

two_clones_run() {
	local n
	ctl "revert web1.qcow2 two"
	for n in 2 3; do
		ctl "clone web1.qcow2 lab$n.qcow2"
		domain_json "lab$n" <<<'{"disks":[{"target":"vda"}]}'
		define_domain "lab$n" "$(uuid_of "$n")" "$(disk vda "$MNT/lab$n.qcow2")"
	done
	start_domain lab2
	start_domain lab3
	guest_io lab2 vda 'write -P 41 0 64k'
	guest_io lab3 vda 'read -P 1 0 64k'
	guest_io lab3 vda 'read -P 12 2M 64k'
	destroy_domain lab2
	xml_is_as_ever
}
promise "clones of the disk are disks of other domains, at the same time" two_clones_run

they_follow() {
	a_session_named four 14 5M
	guest_io lab3 vda 'read -P 1 5M 64k'
	same "$(status_of web1.qcow2 '.clones_behind | join(" ")')" lab3.qcow2
	start_domain lab2
	guest_io lab2 vda 'read -P 14 5M 64k'
	destroy_domain lab3
	start_domain lab3
	guest_io lab3 vda 'read -P 14 5M 64k'
	destroy_domain lab2
	destroy_domain lab3
}
promise "... and take what their template has committed at their next start" they_follow

nothing_is_left() {
	local point
	virsh -q undefine lab2 >&2
	virsh -q undefine lab3 >&2
	refuses rm "$MNT/web1.qcow2"
	rm "$MNT/lab2.qcow2" "$MNT/lab3.qcow2"
	for point in $(points web1.qcow2); do ctl "delete web1.qcow2 $point"; done
	ctl "fold web1.qcow2"
	at_rest web1.qcow2
	image_reads web1.qcow2 qcow2 5M 64k 14
	image_reads web1.qcow2 qcow2 3M 64k 1
	start_domain web1
	chain_is "$REAL"
	destroy_domain web1
	xml_is_as_ever
	qemu-img check -q "$IMAGES/web1.qcow2" >&2
	same "$(find "$STATE/layers" -name '*.qcow2')" ""
}
promise "with clones and names gone all is in the image again" nothing_is_left
