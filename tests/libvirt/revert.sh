#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest wrote to a protected disk is gone at its next start; its other disks and other domains notice nothing;
# the real image, its owner and its mode never change; and a session leaves nothing behind.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image raw1.img raw 8M 2
make_image data1.qcow2 qcow2 8M 3
make_image free1.qcow2 qcow2 8M 4
chown 1234:1235 "$IMAGES/web1.qcow2" && chmod 640 "$IMAGES/web1.qcow2"
qcow2_image=$(image_state web1.qcow2)
raw_image=$(image_state raw1.img)
start_host

the_guests_writes_are_gone() {
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdc"}]}'
	define_domain web1 "$(uuid_of 1)" \
		"$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/data1.qcow2")" "$(disk vdc "$MNT/raw1.img")"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdc 'read -P 2 0 8M'
	guest_io web1 vda 'write -P 11 1M 64k'
	guest_io web1 vdb 'write -P 12 1M 64k'
	guest_io web1 vdc 'write -P 13 1M 64k'
	guest_io web1 vda 'read -P 11 1M 64k'
	guest_io web1 vdc 'read -P 13 1M 64k'
	refuses guest_io web1 vda 'read -P 1 1M 64k'
	same "$(status_of web1.qcow2 '"\(.state) \(.session.domain) \(.session.uuid) \(.session.target)"')" \
		"dirty web1 $(uuid_of 1) vda"
	shutdown_domain web1
	at_rest web1.qcow2
	at_rest raw1.img
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdc 'read -P 2 0 8M'
}
promise "what a guest wrote is gone after shutdown and start, from a qcow2 image and from a raw one" the_guests_writes_are_gone

a_disk_without_an_entry_keeps_its_data() {
	guest_io web1 vdb 'read -P 12 1M 64k'
	image_reads data1.qcow2 qcow2 1M 64k 12
	image_reads data1.qcow2 qcow2 0 1M 3
	same "$(status_of data1.qcow2)" ""
}
promise "a second disk without an entry keeps its data" a_disk_without_an_entry_keeps_its_data

the_chain_is_shown() {
	same "$(virsh dumpxml web1 | grep -c backing_file)" 2
	same "$(backing_chain web1 | sed 's,.*/,,' | tr '\n' ' ')" \
		"$(status_of web1.qcow2 .head).backing_file.img $(status_of raw1.img .head).backing_file.img "
	virsh dumpxml web1 | grep -qF "<source file='$MNT/web1.qcow2'"
}
promise "dumpxml shows the backing_file of each disk that reverts, and the disk's own path" the_chain_is_shown

# does DOMAIN [OPTION...]: what 'revertctl status' says of each target, in a word; and $WORK/said has the sentences.
does() {
	"$REVERTCTL" status "$@" >"$WORK/said" 2>"$WORK/refusal" || :
	"$REVERTCTL" status --json "$@" 2>/dev/null >"$WORK/status.json" || :
	jq -r '"\(.domain) \(.state): \([.disks[] | "\(.target) \(.does)"] | join(", "))"' "$WORK/status.json"
}

said() {
	grep -qF -- "$1" "$WORK/said" || { cat "$WORK/said" >&2; return 1; }
}

the_status_says_it() {
	same "$(does web1)" "web1 running: vda reverts, vdb unprotected, vdc reverts"
	said "The domain 'web1' is running."
	said "    vda (web1.qcow2): reverts: what this session writes is thrown away when it ends."
	said "    vdb ($MNT/data1.qcow2): keeps what is written."
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdc","one-shot-commit":true}]}'
	same "$(does "$(uuid_of 1)")" "web1 running: vda reverts, vdb unprotected, vdc armed"
	said "    vdc (raw1.img): armed: what this session writes is committed when it ends."
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdc"}]}'
	rm /etc/libvirt/hooks/config/web1.json
	same "$(does web1)" "web1 running: vda unknown, vdb unprotected, vdc unknown"
	said "this session began protected, but the domain's file does not name the disk now: what it writes waits"
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdc"},]}'
	same "$(does web1)" "web1 running: vda unknown, vdb unprotected, vdc unknown"
	said "'/etc/libvirt/hooks/config/web1.json' is not valid JSON in line 1"
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdc"}]}'
	same "$(does web1 --connect=nosuch:///)" "web1 null: vda reverts, vdc reverts"
	said "Whether the domain 'web1' runs is not known."
	said "    vda (web1.qcow2): reverts: what this session writes is thrown away when it ends."
	refuses "$REVERTCTL" status web1 --connect=nosuch:///
}
promise "'revertctl status' says of each target of a running domain whether it reverts, also where libvirt does not answer" the_status_says_it

the_domains_definition_does_not_change() {
	virsh dumpxml --inactive web1 >"$WORK/after.xml"
	refuses grep -e backing -e '\.revertfs' "$WORK/after.xml"
	same "$(grep -c '<disk ' "$WORK/after.xml")" 3
}
promise "the domain's definition does not change" the_domains_definition_does_not_change

only_the_scratch_is_relabelled() {
	guest_io web1 vda 'write -P 11 2M 64k'
	same "$(stat -c %U "$MNT/web1.qcow2")" libvirt-qemu
	same "$(image_state web1.qcow2)" "$qcow2_image"
	same "$(image_state raw1.img)" "$raw_image"
	destroy_domain web1
	same "$(stat -c '%u:%g %a' "$MNT/web1.qcow2")" "1234:1235 640"
	same "$(stat -c '%u:%g %a' "$MNT/.revertfs/images/web1.qcow2")" "1234:1235 440"
	same "$(image_state web1.qcow2)" "$qcow2_image"
	same "$(image_state raw1.img)" "$raw_image"
	same "$(getfattr -dm - "$IMAGES/web1.qcow2" 2>/dev/null)" ""
}
promise "libvirt gives the scratch to QEMU, never the image: owner, mode and bytes stay" only_the_scratch_is_relabelled

destroyed_domains_revert() {
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vda 'write -P 11 3M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	starts_with web1 vda 0 8M 1
	hook_log_says "web1: release (destroyed): vda 'web1.qcow2': reset"
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': reset"
}
promise "a destroyed domain's disk reverts, and the hook's log says so" destroyed_domains_revert

paused_starts_revert() {
	virsh -q start --paused web1 >&2
	guest_io web1 vda 'write -P 11 0 64k'
	destroy_domain web1
	starts_with web1 vda 0 8M 1
}
promise "a domain that was started paused reverts" paused_starts_revert

a_reset_of_the_machine_is_no_power_cycle() {
	start_domain web1
	guest_io web1 vda 'write -P 11 0 64k'
	virsh -q reset web1 >&2
	virsh -q suspend web1 >&2
	virsh -q resume web1 >&2
	guest_io web1 vda 'read -P 11 0 64k'
	destroy_domain web1
	starts_with web1 vda 0 8M 1
}
promise "a guest's own reboot, suspend and resume keep what was written" a_reset_of_the_machine_is_no_power_cycle

transient_domains_revert() {
	domain_json brief <<<'{"disks":[{"target":"vda"}]}'
	domain_xml brief "$(uuid_of 2)" "$(disk vda "$MNT/web1.qcow2")" >"$WORK/brief.xml"
	virsh -q create "$WORK/brief.xml" >&2
	guest_io brief vda 'write -P 11 0 64k'
	shutdown_brief() { refuses virsh domstate brief; }
	virsh -q shutdown brief >&2
	wait_until 20 shutdown_brief
	wait_until 20 at_rest web1.qcow2
	virsh -q create "$WORK/brief.xml" >&2
	guest_io brief vda 'read -P 1 0 8M'
	destroy_domain brief
	at_rest web1.qcow2
}
promise "a transient domain's disk reverts" transient_domains_revert

plugged_in_later() {
	make_image later.qcow2 qcow2 8M 5
	ctl "protect later.qcow2"
	start_domain web1
	virsh -q attach-disk web1 "$MNT/later.qcow2" vdd --targetbus virtio --driver qemu --subdriver qcow2 --live >&2
	guest_io web1 vdd 'read -P 5 0 8M'
	guest_io web1 vdd 'write -P 11 1M 64k'
	guest_io web1 vda 'write -P 11 1M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	image_reads later.qcow2 qcow2 0 8M 5
	same "$(status_of later.qcow2 '"\(.state) \(.unhooked)"')" "dirty true"
	ctl "reset later.qcow2"
	at_rest later.qcow2
}
promise "a protected disk that is plugged in later does not write its image" plugged_in_later

without_json_nothing_happens() {
	local log
	log=$(grep -c . "$HOOK_LOG")
	define_domain free1 "$(uuid_of 3)" "$(disk vda "$MNT/free1.qcow2")"
	start_domain free1
	same "$(backing_chain free1)" ""
	guest_io free1 vda 'write -P 14 1M 64k'
	shutdown_domain free1
	image_reads free1.qcow2 qcow2 1M 64k 14
	same "$(status_of free1.qcow2)" ""
	starts_with free1 vda 1M 64k 14
	same "$(grep -c . "$HOOK_LOG")" "$log"
}
promise "a domain without a JSON file starts, writes its image, and the hook says nothing" without_json_nothing_happens

an_empty_list_protects_nothing() {
	domain_json free1 <<<'{"disks":[]}'
	starts_with free1 vda 1M 64k 14
	same "$(status_of free1.qcow2)" ""
	rm /etc/libvirt/hooks/config/free1.json
}
promise "a domain whose JSON names no disk is left alone" an_empty_list_protects_nothing

of_one_that_is_off() {
	same "$(does web1)" "web1 off: vda reverts, vdb unprotected, vdc reverts"
	said "    vda (web1.qcow2): reverts: what the next session writes is thrown away when it ends."
	same "$(does free1)" "free1 off: vda unprotected"
	said "    vda ($MNT/free1.qcow2): keeps what is written."
	domain_json free1 <<<'{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdx"}]}'
	same "$(does free1)" "free1 off: vda armed"
	said "    it does not start: "
	rm /etc/libvirt/hooks/config/free1.json
	guest_write web1.qcow2 1M 64k 15
	same "$(does web1)" "web1 off: vda reverts, vdb unprotected, vdc reverts"
	said "which was written without the hook's protection, waits for its next start with a file for the hook"
	ctl "reset web1.qcow2"
	start_domain web1
	virsh -q managedsave web1 >&2
	same "$(does web1)" "web1 saved: vda reverts, vdb unprotected, vdc reverts"
	said "reverts: what the saved guest's session, which goes on at the next start, writes is thrown away when it ends"
	virsh -q managedsave-remove web1 >&2
	ctl "reset web1.qcow2 force=yes"
	ctl "reset raw1.img force=yes"
}
promise "... of one that is off, that is saved, whose data waits, that has no file, and that would not start" of_one_that_is_off

of_both() {
	cp --reflink=auto "$IMAGES/free1.qcow2" "$IMAGES/free1"
	ctl "protect free1"
	domain_json free1 <<<'{"disks":[]}'
	"$REVERTCTL" status free1 >"$WORK/said" 2>"$WORK/refusal"
	said "pristine"
	says "'free1' is a domain, too: 'revertctl status free1 --domain' shows that"
	same "$(does free1 --domain)" "free1 off: vda unprotected"
	"$REVERTCTL" status web1 >"$WORK/said" 2>"$WORK/refusal"
	same "$(cat "$WORK/refusal")" ""
	ctl "unprotect free1"
	rm /etc/libvirt/hooks/config/free1.json "$IMAGES/free1"
	refuses "$REVERTCTL" status nobody 2>"$WORK/refusal"
	says "there is no disk 'nobody'; 'revertctl status' lists them"
	refuses "$REVERTCTL" status nobody --domain 2>"$WORK/refusal"
	says "there is no domain 'nobody'"
	refuses "$REVERTCTL" status nobody --connect=nosuch:/// 2>"$WORK/refusal"
	says "'nobody' is no disk, and whether it is a domain is not known: "
}
promise "a name that is a disk and a domain is the disk's, and says how to ask for the other" of_both

as_before() {
	same "$(state_files)" "$before"
}

twenty_cycles_leave_nothing() {
	local before open i
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	starts_with web1 vda 0 8M 1
	before=$(state_files)
	open=$(find "/proc/$(daemon_pid)/fd" | wc -l)
	for ((i = 0; i < 20; i++)); do
		start_domain web1
		guest_io web1 vda 'read -P 1 0 8M'
		guest_io web1 vda "write -P $((i + 20)) 0 2M"
		destroy_domain web1
	done
	at_rest web1.qcow2
	no_session
	wait_until 20 as_before
	same "$(image_state web1.qcow2)" "$qcow2_image"
	(($(find "/proc/$(daemon_pid)/fd" | wc -l) <= open + 2))
}
promise "twenty power cycles leave no session, no file and no descriptor behind" twenty_cycles_leave_nothing
