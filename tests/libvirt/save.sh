#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A saved guest comes back to the very bytes it left, however it was saved and whatever happened between; a saved state
# that is given up takes them along, or leaves them under a name where the user still has the file.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image raw1.img raw 8M 2
chown 1234:1235 "$IMAGES"/*
before=$(image_state web1.qcow2; image_state raw1.img)
SAVE=$WORK/web1.sav
start_host
domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/raw1.img")"
define_domain web2 "$(uuid_of 2)" "$(disk vda "$MNT/web1.qcow2")"
domain_json web2 <<<'{"disks":[{"target":"vda"}]}'

images_are_as_before() {
	same "$(image_state web1.qcow2; image_state raw1.img)" "$before"
}

# written N: a fresh session in which both disks have been written with N. reads N: they read so now.
written() {
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdb 'read -P 2 0 8M'
	guest_io web1 vda "write -P $1 1M 64k"
	guest_io web1 vdb "write -P $1 2M 64k"
}

reads() {
	guest_io web1 vda "read -P $1 1M 64k"
	guest_io web1 vda 'read -P 1 2M 6M'
	guest_io web1 vdb "read -P $1 2M 64k"
	guest_io web1 vdb 'read -P 2 0 2M'
}

is_held() {
	same "$(status_of web1.qcow2 '"\(.hold.domain) \(.session)"')" "web1 null"
	same "$(status_of raw1.img '"\(.hold.domain) \(.session)"')" "web1 null"
}

both_at_rest() {
	at_rest web1.qcow2
	at_rest raw1.img
	images_are_as_before
}

managed_save() {
	written 11
	virsh -q managedsave web1 >&2
	is_held
	start_domain web1
	reads 11
	images_are_as_before
	hook_log_says "web1: release (saved): vda 'web1.qcow2': held"
	hook_log_says "web1: prepare: vda 'web1.qcow2': resumed"
}
promise "after a managed save the guest resumes on the same bytes" managed_save

what_follows_is_kept_too() {
	guest_io web1 vda 'write -P 12 1M 64k'
	guest_io web1 vdb 'write -P 12 2M 64k'
	virsh -q managedsave web1 >&2
	start_domain web1
	reads 12
	shutdown_domain web1
	both_at_rest
}
promise "... and again after the next, and reverts when it is shut down at last" what_follows_is_kept_too

save_to_a_file() {
	written 13
	virsh -q save web1 "$SAVE" >&2
	is_held
	virsh -q restore "$SAVE" >&2
	reads 13
	destroy_domain web1
	both_at_rest
}
promise "after 'virsh save' and 'virsh restore' the guest resumes on the same bytes, and reverts at its end" save_to_a_file

a_used_file_is_refused() {
	refuses virsh -q restore "$SAVE"
	says "revertfs: disk "
	says "the layer that the saved state of domain 'web1' needs is gone"
	both_at_rest
	no_session
	written 14
	destroy_domain web1
}
promise "a saved state whose layer is gone is not restored, and the domain starts afresh" a_used_file_is_refused

# QEMU finds no state of its own in it, after the disks were prepared. libvirt keeps the file, and says "failed".
break_the_save() {
	local state
	cp "$1" "$WORK/good.sav"
	state=$(grep -aobU -m 1 QEVM "$1" | head -n 1)
	printf 'none' | dd of="$1" bs=1 seek="${state%%:*}" conv=notrunc status=none
}

a_failed_restore_keeps_them() {
	written 15
	virsh -q save web1 "$SAVE" >&2
	break_the_save "$SAVE"
	refuses virsh -q restore "$SAVE"
	domain_is web1 "shut off"
	is_held
	cp "$WORK/good.sav" "$SAVE"
	virsh -q restore "$SAVE" >&2
	reads 15
	destroy_domain web1
	both_at_rest
	hook_log_says "web1: release (failed): vda 'web1.qcow2': dropped"
}
promise "a failed restore keeps the bytes for the next" a_failed_restore_keeps_them

a_failed_start_of_a_managed_save() {
	local managed=/var/lib/libvirt/qemu/save/web1.save
	written 16
	virsh -q managedsave web1 >&2
	break_the_save "$managed"
	refuses start_domain web1
	domain_is web1 "shut off"
	grep -q 'reason=failed' <(tail -n 3 /var/log/libvirt/qemu/web1.log)
	[[ -e $managed ]]
	is_held
	cp "$WORK/good.sav" "$managed"
	start_domain web1
	reads 16
	destroy_domain web1
	both_at_rest
}
promise "... so does a failed start from a managed save" a_failed_start_of_a_managed_save

force_boot_drops_them() {
	written 17
	virsh -q managedsave web1 >&2
	virsh -q start --force-boot web1 >&2
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdb 'read -P 2 0 8M'
	same "$(status_of web1.qcow2 '"\(.hold) \(.layers | length)"')" "null 1"
	destroy_domain web1
	both_at_rest
}
promise "'virsh start --force-boot' drops what the managed save needed" force_boot_drops_them

a_removed_save_drops_them() {
	written 18
	virsh -q managedsave web1 >&2
	virsh -q managedsave-remove web1 >&2
	starts_with web1 vda 0 8M 1
	starts_with web1 vdb 0 8M 2
	both_at_rest
}
promise "so does the start after 'virsh managedsave-remove'" a_removed_save_drops_them

a_start_beside_a_saved_file() {
	written 19
	virsh -q save web1 "$SAVE" >&2
	starts_with web1 vda 0 8M 1
	point_reads web1.qcow2 saved 1M 64k 19
	point_reads raw1.img saved 2M 64k 19
	images_are_as_before
	hook_log_says "web1: prepare: vda 'web1.qcow2': fresh"
}
promise "a fresh start beside the file of 'virsh save' seals its bytes aside" a_start_beside_a_saved_file

# The sealed states above stand beside the head from now on.

another_domain_is_kept_out() {
	written 20
	virsh -q managedsave web1 >&2
	refuses start_domain web2
	says "disk 'web1.qcow2' is held for the saved domain 'web1'"
	is_held
	start_domain web1
	reads 20
	destroy_domain web1
}
promise "while a domain is saved, no other starts on its disk" another_domain_is_kept_out

verbs_respect_the_hold() {
	written 21
	virsh -q managedsave web1 >&2
	ctl_fails EBUSY "reset web1.qcow2" "held"
	ctl_fails EBUSY "commit web1.qcow2" "held"
	ctl_fails EBUSY "unprotect web1.qcow2"
	start_domain web1
	reads 21
	virsh -q managedsave web1 >&2
	ctl "reset web1.qcow2 force=yes"
	refuses start_domain web1
	says "the layer that the saved state of domain 'web1' needs is gone"
	same "$(status_of raw1.img .hold.domain)" web1
	virsh -q managedsave-remove web1 >&2
	starts_with web1 vda 0 8M 1
	starts_with web1 vdb 0 8M 2
}
promise "reset and commit refuse a held disk, and with force the saved state is refused at its start" verbs_respect_the_hold

is_exported() {
	same "$(cat "$WORK/said")" "web1.qcow2: exported$1"
}

a_saved_guest_is_exported() {
	# shellcheck disable=SC2016 # for the program
	printf '#!/bin/sh\necho "$REVERTFS_CONSISTENCY ${1##*/} ${REVERTFS_POINT-none}"\n' >"$WORK/hook"
	chmod 755 "$WORK/hook"
	written 27
	virsh -q managedsave web1 >&2
	"$REVERTCTL" export web1.qcow2 --to "$WORK/head.qcow2" >"$WORK/said"
	is_exported "; the saved guest's state is not in it: 'export --held' copies that"
	qemu_io -r -f qcow2 -c 'read -q -P 1 0 8M' "$WORK/head.qcow2"
	"$REVERTCTL" export web1.qcow2 --held --to "$WORK/held.qcow2" --post-hook "$WORK/hook" >"$WORK/said"
	is_exported $'\ncrash-consistent held.qcow2 none'
	qemu_io -r -f qcow2 -c 'read -q -P 27 1M 64k' -c 'read -q -P 1 2M 6M' "$WORK/held.qcow2"
	same "$(jq -r '"\(.consistency) \(.saved_domain) \(.point)"' "$WORK/held.qcow2.json")" "crash-consistent web1 null"
	same "$(jq -r '"\(.consistency) \(.saved_domain)"' "$WORK/head.qcow2.json")" "clean null"
	is_held
}
promise "an export of a saved guest says what it lacks, and --held copies what the guest resumes on" a_saved_guest_is_exported

is_being_copied() {
	same "$(status_of raw1.img '.job.state')" running
}

# raw1.img has 8 MiB of data, which takes some seconds: long enough to stop who copies it.
it_is_resumed_meanwhile() {
	local held
	refuses "$REVERTCTL" export web1 --live --to "$WORK/live"
	says "'revertctl export web1.qcow2 --held --to=FILE'"
	ctl_fails EINVAL "export web1.qcow2 to=$WORK/none held=yes point=saved" "leave one out"
	ctl "export raw1.img to=$WORK/held.raw held=yes format=raw rate=2M wait=no" >&2
	held=$(status_of raw1.img .hold.layer)
	wait_until 10 pkill -STOP -f 'qemu-img convert'
	start_domain web1
	reads 27
	guest_io web1 vdb 'write -P 28 0 4M'
	destroy_domain web1
	same "$(status_of raw1.img .hold)" null
	is_being_copied
	pkill -CONT -f 'qemu-img convert'
	wait_until 30 job_is_done raw1.img
	qemu_io -r -f raw -c 'read -q -P 27 2M 64k' -c 'read -q -P 2 0 2M' "$WORK/held.raw"
	same "$(jq -r .layer "$WORK/held.raw.json")" "$held"
	ctl_fails ENOENT "export web1.qcow2 to=$WORK/none held=yes" "is not held for a saved guest"
}
promise "... also when the guest is resumed, and ends, before the copy is whole" it_is_resumed_meanwhile

a_commit_after_a_restore() {
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb","one-shot-commit":true}]}'
	written 22
	virsh -q managedsave web1 >&2
	grep -q true /etc/libvirt/hooks/config/web1.json
	images_are_as_before
	start_domain web1
	guest_io web1 vdb 'write -P 23 3M 64k'
	shutdown_domain web1
	grep -q false /etc/libvirt/hooks/config/web1.json
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdb 'read -P 22 2M 64k'
	guest_io web1 vdb 'read -P 23 3M 64k'
	destroy_domain web1
}
promise "a save commits nothing; the end after the restore commits both lives" a_commit_after_a_restore

a_crash_after_a_restore() {
	local now
	domain_json web1 <<<'{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb"}]}'
	now=$(image_state web1.qcow2)
	start_domain web1
	guest_io web1 vda 'write -P 26 4M 64k'
	virsh -q managedsave web1 >&2
	start_domain web1
	kill -KILL "$(qemu_pid web1)"
	wait_until 20 domain_is web1 "shut off"
	point_reads web1.qcow2 uncommitted 4M 64k 26
	same "$(image_state web1.qcow2)" "$now"
	same "$(status_of raw1.img '"\(.state) \(.hold) \(.session)"')" "pristine null null"
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	starts_with web1 vda 4M 64k 1
}
promise "a crash after a restore seals aside what an armed guest had written before its save" a_crash_after_a_restore

restarts_between_save_and_restore() {
	start_domain web1
	guest_io web1 vda 'write -P 24 1M 64k'
	virsh -q managedsave web1 >&2
	stop_libvirt
	restart_daemon
	start_libvirt
	start_domain web1
	guest_io web1 vda 'read -P 24 1M 64k'
	guest_io web1 vda 'write -P 25 2M 64k'
	virsh -q managedsave web1 >&2
	sync
	crash_host
	start_daemon
	start_libvirt
	start_domain web1
	guest_io web1 vda 'read -P 24 1M 64k'
	guest_io web1 vda 'read -P 25 2M 64k'
	destroy_domain web1
	no_session
	same "$(image_state web1.qcow2)" "$(head -n 1 <<<"$before")"
}
promise "a saved guest outlives restarts of libvirt and revertfs, and the machine's crash" restarts_between_save_and_restore
