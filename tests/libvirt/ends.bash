#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What ends.sh and ends-10.5.sh have in common: a domain web1, its ends, and what is to have become of its disk.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
before=$(image_state web1.qcow2)
JSON=/etc/libvirt/hooks/config/web1.json
start_host

unarmed='{"disks":[{"target":"vda"}]}' armed='{"disks":[{"target":"vda","one-shot-commit":true}]}'

# begin JSON: a fresh session of web1 that has written 7 at 1M. Nothing of an earlier one is left.
begin() {
	echo "$1" >"$JSON"
	rm -f "$LV/reason"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
}

is_off() {
	wait_until 20 domain_is web1 "shut off"
}

# It ended as WORDS say in the hook's log, and is reset: at once, or (later) at the next start.
was_reset() {
	hook_log_says "web1: release ($1): vda 'web1.qcow2': reset"
	at_rest web1.qcow2
	same "$(image_state web1.qcow2)" "$before"
}

# What was written is sealed aside, the flag is as it was, and the image too. Then the disk is made as new.
was_put_aside() {
	hook_log_says "web1: release ($1): vda 'web1.qcow2': aside as uncommitted-"
	is_aside uncommitted
}

is_aside() {
	point_reads web1.qcow2 "$1" 1M 64k 7
	same "$(cat "$JSON")" "$armed"
	same "$(image_state web1.qcow2)" "$before"
	starts_afresh
	make_as_new
}

starts_afresh() {
	echo "$unarmed" >"$JSON"
	starts_with web1 vda 0 8M 1
	no_session
}

make_as_new() {
	local point
	for point in $(points web1.qcow2); do ctl "delete web1.qcow2 $point"; done
	wait_until 10 at_rest web1.qcow2
	: >"$HOOK_LOG"
}

orderly_ends() {
	begin "$unarmed"
	shutdown_domain web1
	was_reset shutdown
	begin "$unarmed"
	destroy_domain web1
	was_reset destroyed
	starts_afresh
}

rebooting_ends() {
	DOMAIN_MORE='<on_reboot>destroy</on_reboot>' define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	echo "$unarmed" >"$JSON"
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	monitor web1 system_reset
	is_off
	was_reset shutdown
	starts_afresh
}

undefined_domains() {
	begin "$unarmed"
	virsh -q undefine web1 >&2
	destroy_domain web1
	was_reset destroyed
}

autodestroyed_domains() {
	echo "$unarmed" >"$JSON"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	printf 'start --autodestroy web1\nqemu-monitor-command web1 --hmp "%s"\n' \
		'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"write -P 7 1M 64k\"' | virsh -q >&2
	is_off
	wait_until 10 was_reset destroyed
	starts_afresh
}

crashes() {
	begin "$unarmed"
	kill -KILL "$(qemu_pid web1)"
	is_off
	was_reset crashed
	begin "$armed"
	kill -KILL "$(qemu_pid web1)"
	is_off
	was_put_aside crashed
}

failed_starts() {
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/missing.qcow2")"
	echo "$armed" >"$JSON"
	refuses start_domain web1
	says "missing.qcow2"
	was_reset failed
	same "$(cat "$JSON")" "$armed"
	no_session
	printf 'no qcow2' >"$IMAGES/missing.qcow2"
	refuses start_domain web1
	rm "$IMAGES/missing.qcow2"
	at_rest web1.qcow2
	no_session
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	starts_afresh
	: >"$HOOK_LOG"
}

another_hook_fails_at() {
	echo '#!/bin/sh' >"$WORK/other-hook"
	echo "[ \"\$2\" != $1 ]" >>"$WORK/other-hook"
	install_hook "$WORK/other-hook" zz-other
}

vetoed_by_another_hook() {
	another_hook_fails_at started
	echo "$armed" >"$JSON"
	refuses start_domain web1
	rm "$HOOK_DIR/zz-other"
	was_reset failed
	same "$(cat "$JSON")" "$armed"
	starts_afresh
	: >"$HOOK_LOG"
}

saved_and_failed() {
	local managed=/var/lib/libvirt/qemu/save/web1.save state
	begin "$unarmed"
	virsh -q managedsave web1 >&2
	hook_log_says "web1: release (saved): vda 'web1.qcow2': held"
	cp "$managed" "$WORK/good.sav"
	state=$(grep -aobU -m 1 QEVM "$managed" | head -n 1)
	printf 'none' | dd of="$managed" bs=1 seek="${state%%:*}" conv=notrunc status=none
	refuses start_domain web1
	hook_log_says "web1: release (failed): vda 'web1.qcow2': dropped"
	cp "$WORK/good.sav" "$managed"
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	destroy_domain web1
	was_reset destroyed
	starts_afresh
}

without_its_json() {
	begin "$unarmed"
	rm "$JSON"
	destroy_domain web1
	hook_log_says "web1: release (destroyed): vda 'web1.qcow2': undecided"
	same "$(status_of web1.qcow2 '"\(.state) \(.session) \(.kept)"')" "dirty null undecided"
	starts_afresh
	begin "$armed"
	echo 'not JSON' >"$JSON"
	shutdown_domain web1
	same "$(status_of web1.qcow2 '"\(.state) \(.kept)"')" "dirty undecided"
	same "$(image_state web1.qcow2)" "$before"
	echo "$armed" >"$JSON"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	destroy_domain web1
	hook_log_says "web1: prepare: vda 'web1.qcow2': fresh as uncommitted-"
	echo "$armed" >"$JSON"
	is_aside uncommitted
}

all_ends() {
	promise "$1: after shutdown and destroy a disk is reset" orderly_ends
	promise "$1: a guest's reboot that ends the domain (on_reboot=destroy) resets" rebooting_ends
	promise "$1: a domain that was undefined while it ran is reset" undefined_domains
	promise "$1: a domain that ends with its client (--autodestroy) is reset" autodestroyed_domains
	promise "$1: kill -9 of QEMU resets, and seals an armed session aside" crashes
	promise "$1: a failed start leaves nothing, and its flag as it was" failed_starts
	promise "$1: a start that another hook stops leaves nothing" vetoed_by_another_hook
	promise "$1: a saved domain's disk is held, and stays so through a failed restore" saved_and_failed
	promise "$1: where the JSON is gone or not valid at the end, nothing is lost" without_its_json
}
