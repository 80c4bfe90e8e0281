#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A disk has one user at a time, and nothing is done to it under its user's feet: the second domain, a reset, a protect
# and a change of the image from outside are refused with what to do, and hurt neither.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image plain.qcow2 qcow2 8M 2
make_image own1.qcow2 qcow2 8M 3
make_image own2.qcow2 qcow2 8M 3
before=$(image_state web1.qcow2)
start_host
domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
domain_json web2 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
define_domain web2 "$(uuid_of 2)" "$(disk vda "$MNT/own1.qcow2")" "$(disk vdb "$MNT/web1.qcow2")"
define_domain plain "$(uuid_of 3)" "$(disk vda "$MNT/plain.qcow2")"
define_domain sly "$(uuid_of 4)" "$(disk vda "$MNT/web1.qcow2")"

start_domain web1 || fail "the domain starts"

a_second_domain() {
	guest_io web1 vda 'write -P 7 1M 64k'
	refuses start_domain web2
	says "disk 'web1.qcow2' is in use by domain 'web1'; stop that first"
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 8 2M 64k'
	same "$(status '[.disks[] | select(.session) | "\(.name) \(.session.domain)"] | join(",")')" "web1.qcow2 web1"
	domain_is web2 "shut off"
	hook_log_says "web2: prepare refused: disk 'web1.qcow2' is in use by domain 'web1'"
}
promise "a second domain on a disk in use does not start, and its other disk is left alone" a_second_domain

# QEMU's own lock, which the kernel keeps within the mount. Its failed start is no end of the first one's session.
a_second_domain_without_json() {
	refuses start_domain sly
	says 'Failed to get "write" lock'
	guest_io web1 vda 'read -P 7 1M 64k'
	same "$(status_of web1.qcow2 .session.domain)" web1
	guest_io web1 vda 'write -P 9 3M 64k'
	guest_io web1 vda 'read -P 9 3M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	starts_with web1 vda 0 8M 1
	same "$(image_state web1.qcow2)" "$before"
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
}
promise "... nor does one without a JSON file, and the first one's session is not touched by that" a_second_domain_without_json

verbs_under_a_running_domain() {
	ctl_fails EBUSY "reset web1.qcow2" "web1"
	ctl_fails EBUSY "reset web1.qcow2 force=yes"
	ctl_fails EBUSY "commit web1.qcow2"
	ctl_fails EBUSY "unprotect web1.qcow2"
	refuses bash -c "echo 'reset web1.qcow2' >'$MNT/.revertfs/control'"
	says "Device or resource busy"
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 10 4M 64k'
	guest_io web1 vda 'read -P 10 4M 64k'
	same "$(status_of web1.qcow2 '"\(.state) \(.session.domain)"')" "dirty web1"
}
promise "reset, commit and unprotect are refused while the domain runs, with force too" verbs_under_a_running_domain

protect_a_running_domains_image() {
	start_domain plain
	guest_io plain vda 'write -P 7 1M 64k'
	ctl_fails EBUSY "protect plain.qcow2" "open"
	same "$(status_of plain.qcow2)" ""
	guest_io plain vda 'write -P 8 2M 64k'
	destroy_domain plain
	image_reads plain.qcow2 qcow2 1M 64k 7
	image_reads plain.qcow2 qcow2 2M 64k 8
	ctl "protect plain.qcow2"
	start_domain plain
	guest_io plain vda 'read -P 7 1M 64k'
	guest_io plain vda 'write -P 9 1M 64k'
	destroy_domain plain
	image_reads plain.qcow2 qcow2 1M 64k 7
}
promise "protect is refused while a domain has the image open, and works afterwards" protect_a_running_domains_image

names_under_a_running_domain() {
	refuses rm "$MNT/web1.qcow2"
	refuses mv "$MNT/web1.qcow2" "$MNT/other.qcow2"
	refuses mv "$IMAGES/own1.qcow2" "$MNT/web1.qcow2"
	refuses ln "$MNT/web1.qcow2" "$MNT/link.qcow2"
	guest_io web1 vda 'read -P 7 1M 64k'
	destroy_domain web1
	same "$(image_state web1.qcow2)" "$before"
}
promise "a protected image is not removed, renamed, replaced or linked in the mount" names_under_a_running_domain

the_next_one_may() {
	start_domain web2
	guest_io web2 vdb 'read -P 1 0 8M'
	guest_io web2 vdb 'write -P 7 1M 64k'
	destroy_domain web2
	starts_with web1 vda 0 8M 1
	no_session
}
promise "once the first has ended the other domain starts, and nothing passes from one to the other" the_next_one_may

# --- the image, changed behind the daemon's back

change_own1() {
	qemu_io -f qcow2 -c "write -q -P $1 1M 64k" "$IMAGES/own1.qcow2"
	touch "$IMAGES/own1.qcow2"
}

changed_while_nothing_depends() {
	change_own1 20
	start_domain web2
	guest_io web2 vda 'read -P 20 1M 64k'
	guest_io web2 vda 'write -P 21 2M 64k'
	destroy_domain web2
	same "$(status_of own1.qcow2 '"\(.state) \(.layers | length)"')" "pristine 1"
	grep -q "disk 'own1.qcow2': its image was changed outside revertfs" "$DAEMON_LOG"
	image_reads own1.qcow2 qcow2 1M 64k 20
	image_reads own1.qcow2 qcow2 2M 64k 3
}
promise "an image that was changed while nothing depended on it is taken as the new content" changed_while_nothing_depends

changed_under_a_session() {
	local now
	domain_json web2 <<<'{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb"}]}'
	start_domain web2
	guest_io web2 vda 'write -P 22 3M 64k'
	change_own1 23
	now=$(image_state own1.qcow2)
	shutdown_domain web2
	grep -q true /etc/libvirt/hooks/config/web2.json
	status_of own1.qcow2 .last_error | grep -q "its image was changed outside revertfs"
	hook_log_says "its image was changed outside revertfs"
	same "$(image_state own1.qcow2)" "$now"
	refuses start_domain web2
	says "its image was changed outside revertfs"
	same "$(image_state own1.qcow2)" "$now"
}
promise "an image that was changed under an armed session is not committed into, and the session's data stays" changed_under_a_session

a_way_out() {
	local now
	now=$(image_state own1.qcow2)
	ctl "reset own1.qcow2 force=yes"
	domain_json web2 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	start_domain web2
	guest_io web2 vda 'read -P 23 1M 64k'
	guest_io web2 vda 'read -P 3 3M 64k'
	destroy_domain web2
	same "$(image_state own1.qcow2)" "$now"
	no_session
}
promise "... until it is given up by a reset, as the sentence says" a_way_out

changed_under_a_hold() {
	local now
	start_domain web2
	guest_io web2 vda 'write -P 24 4M 64k'
	virsh -q managedsave web2 >&2
	cp --preserve=all "$IMAGES/own1.qcow2" "$WORK/own1.saved"
	now=$(image_state own1.qcow2)
	change_own1 25
	refuses start_domain web2
	says "its image was changed outside revertfs"
	# Put the old one back, as the sentence says: the guest comes back to its bytes.
	dd if="$WORK/own1.saved" of="$IMAGES/own1.qcow2" bs=1M conv=notrunc status=none
	touch -r "$WORK/own1.saved" "$IMAGES/own1.qcow2"
	same "$(image_state own1.qcow2)" "$now"
	start_domain web2
	guest_io web2 vda 'read -P 24 4M 64k'
	destroy_domain web2
}
promise "a saved guest does not come back on an image that was changed, but once the old image is put back" changed_under_a_hold

given_up_under_a_hold() {
	start_domain web2
	guest_io web2 vda 'write -P 26 4M 64k'
	virsh -q managedsave web2 >&2
	change_own1 27
	virsh -q managedsave-remove web2 >&2
	refuses start_domain web2
	says "reset own1.qcow2 force=yes"
	ctl "reset own1.qcow2 force=yes"
	at_rest own1.qcow2
	start_domain web2
	guest_io web2 vda 'read -P 27 1M 64k'
	guest_io web2 vda 'read -P 3 4M 64k'
	destroy_domain web2
}
promise "... or is given up by a reset with force, and the domain starts on the new image" given_up_under_a_hold

replaced_by_another_file() {
	mv "$IMAGES/own2.qcow2" "$IMAGES/own1.qcow2"
	starts_with web2 vda 0 8M 3
	same "$(status_of own1.qcow2 .state)" pristine
}
promise "an image that was replaced by another file while nothing depended on it is the new image" replaced_by_another_file
