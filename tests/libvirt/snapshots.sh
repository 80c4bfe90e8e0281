#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# libvirt's own snapshots and block jobs on a protected disk never reach the real image, and never cost what the
# policy would have kept.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
before=$(image_state web1.qcow2)
JSON=/etc/libvirt/hooks/config/web1.json
start_host

begin() {
	echo "${1:-'{"disks":[{"target":"vda"}]}'}" >"$JSON"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
}
unarmed='{"disks":[{"target":"vda"}]}' armed='{"disks":[{"target":"vda","one-shot-commit":true}]}'

image_is_as_before() {
	same "$(image_state web1.qcow2)" "$before"
}

no_block_jobs_on_the_image() {
	begin "$unarmed"
	guest_io web1 vda 'write -P 7 1M 64k'
	same "$(status_of web1.qcow2 .last_error)" null
	refuses virsh blockcommit web1 vda --active --pivot
	says "Read-only file system"
	[[ $(status_of web1.qcow2 .last_error) == *"'virsh blockcommit web1 vda --active --pivot --base $MNT/web1.qcow2'"* ]]
	domain_is web1 running
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 8 2M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
	image_is_as_before
	destroy_domain web1
	at_rest web1.qcow2
	starts_with web1 vda 0 8M 1
	image_is_as_before
}
promise "'virsh blockcommit' into the real image is refused, and the domain runs on" no_block_jobs_on_the_image

# The XML names another file from then on, which is not ours; our scratch is its backing file.
external_snapshot() {
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 s1 --disk-only --no-metadata --diskspec "vda,file=$WORK/outside.s1" >&2
	guest_io web1 vda 'write -P 8 2M 64k'
	guest_io web1 vda 'read -P 7 1M 64k'
}

an_external_snapshot_keeps_its_backing() {
	install -d -o libvirt-qemu "$WORK/outside"
	begin "$unarmed"
	external_snapshot
	destroy_domain web1
	hook_log_says "web1: release (destroyed): vda 'web1.qcow2': undecided"
	same "$(status_of web1.qcow2 '"\(.state) \(.session) \(.kept)"')" "dirty null undecided"
	image_is_as_before
	# The snapshot still reads what it stood on: both writes are there.
	qemu_io -r -f qcow2 -c 'read -q -P 7 1M 64k' -c 'read -q -P 8 2M 64k' -c 'read -q -P 1 3M 1M' "$WORK/outside.s1"
}
promise "a disk that became the backing file of an external snapshot is kept at the end" an_external_snapshot_keeps_its_backing

sealed_aside_at_the_next_start() {
	begin "$unarmed"
	destroy_domain web1
	point_reads web1.qcow2 uncommitted 1M 64k 7
	image_is_as_before
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	rm "$WORK/outside.s1"
}
promise "... and sealed aside when the domain is started on the disk itself again" sealed_aside_at_the_next_start

the_snapshot_is_not_protected() {
	begin "$unarmed"
	external_snapshot
	shutdown_domain web1
	refuses start_domain web1
	says "disk 'vda': its source '$WORK/outside.s1' is an external snapshot that was left behind, on '$MNT/web1.qcow2'"
	same "$(status_of web1.qcow2 .kept)" undecided
	begin "$unarmed"
	destroy_domain web1
	point_reads web1.qcow2 uncommitted 1M 64k 7
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	rm "$WORK/outside.s1"
}
promise "a domain whose disk is a snapshot's file now does not start as if it were protected" the_snapshot_is_not_protected

an_armed_one_is_not_committed() {
	begin "$armed"
	external_snapshot
	shutdown_domain web1
	image_is_as_before
	same "$(cat "$JSON")" "$armed"
	begin "$armed"
	guest_io web1 vda 'write -P 9 4M 64k'
	point_reads web1.qcow2 uncommitted 1M 64k 7
	hook_log_says "web1: prepare: vda: its one-shot-commit was for an earlier session"
	grep -q '"one-shot-commit":false' "$JSON"
	shutdown_domain web1
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': reset"
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	image_is_as_before
	rm "$WORK/outside.s1"
}
promise "half of an armed session, with an external snapshot, is kept and not committed; nor is the next session by its flag" an_armed_one_is_not_committed

# After the pivot libvirt names our path again, and the scratch has everything.
a_snapshot_taken_back() {
	begin "$unarmed"
	external_snapshot
	virsh -q blockcommit web1 vda --active --pivot --base "$MNT/web1.qcow2" >&2
	rm "$WORK/outside.s1"
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	image_is_as_before
}
promise "an external snapshot that was committed back into the disk changes nothing" a_snapshot_taken_back

# Where a snapshot is in use libvirt stops QEMU and starts another: release, "from snapshot", and prepare, with no
# word of a restore. Both must find the scratch, for the snapshot is in there.
reverted_within() {
	begin "$1"
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 s1 >&2
	guest_io web1 vda 'write -P 8 1M 64k'
	: >"$HOOK_LOG"
	virsh -q snapshot-revert web1 s1 --running --force >&2
	hook_log_says "web1: release (from snapshot): vda 'web1.qcow2': kept"
	hook_log_says "web1: prepare: vda 'web1.qcow2': continued"
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 9 2M 64k'
	virsh -q snapshot-revert web1 s1 --running --force >&2
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 1 2M 64k'
	image_is_as_before
}

# forget_point PREFIX: there is one such point, and it is not needed any more.
forget_point() {
	local point
	point=$(points web1.qcow2)
	same "${point%-*}" "$1"
	ctl "delete web1.qcow2 $point"
	wait_until 10 at_rest web1.qcow2
}

# Its end is a reset, but somebody asked for that state by name: 'qemu-img convert -l' reads it.
kept_aside() {
	hook_log_says "web1: release (destroyed): vda 'web1.qcow2': aside as snapshots-"
	no_session
	qemu-img convert -U -l "$1" -f qcow2 -O raw "$(path_of_point web1.qcow2 snapshots)" "$WORK/out.raw"
	qemu_io -r -f raw -c 'read -q -P 7 1M 64k' -c 'read -q -P 1 2M 6M' "$WORK/out.raw"
	image_is_as_before
}

an_internal_revert() {
	reverted_within "$unarmed"
	destroy_domain web1
	kept_aside s1
	virsh -q snapshot-delete web1 s1 --metadata >&2
	starts_with web1 vda 0 8M 1
	forget_point snapshots
	image_is_as_before
}
promise "within a session a domain reverts to its internal snapshots; its end resets, and keeps them aside" an_internal_revert

gone_with_the_session() {
	begin "$unarmed"
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 s1 >&2
	destroy_domain web1
	refuses virsh -q snapshot-revert web1 s1 --running --force
	no_session
	virsh -q snapshot-delete web1 s1 --metadata >&2
	starts_with web1 vda 0 8M 1
	kept_aside s1
	forget_point snapshots
	image_is_as_before
}
promise "after the session the disk has its internal snapshots no more; reverting to one fails and hurts nothing" gone_with_the_session

# revertfs(8), VIRSH SNAPSHOTS AND BLOCK JOBS, line by line; the promises above and below have what external ones do.
remembered() {
	same "$(virsh snapshot-list web1 --name | xargs)" "$1"
	virsh snapshot-info web1 t1 | grep -q '^Name: *t1'
	virsh snapshot-current web1 --name | grep -qx "${1##* }"
	virsh snapshot-dumpxml web1 t1 | grep -q '<name>t1</name>'
	VISUAL=true virsh -q snapshot-edit web1 t1 >&2
}

the_table() {
	begin "$unarmed"
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 t1 >&2
	virsh -q snapshot-create-as web1 t2 >&2
	remembered "t1 t2"
	same "$(virsh snapshot-parent web1 t2 | xargs)" t1
	guest_io web1 vda 'write -P 8 1M 64k'
	virsh -q snapshot-revert web1 t1 >&2
	guest_io web1 vda 'read -P 7 1M 64k'
	virsh -q snapshot-revert web1 t2 >&2
	virsh -q snapshot-create-as web1 t3 >&2
	virsh -q snapshot-delete web1 t3 >&2
	destroy_domain web1
	remembered "t1 t2"
	start_domain web1
	remembered "t1 t2"
	virsh -q snapshot-delete web1 t2 >&2
	refuses virsh -q snapshot-revert web1 t1
	wait_until 20 domain_is web1 "shut off"
	same "$(virsh snapshot-list web1 --name | xargs)" t1
	kept_aside t1
	kept_aside t2
	virsh -q snapshot-delete web1 t1 --metadata >&2
	same "$(virsh snapshot-list web1 --name | xargs)" ""
	start_domain web1
	hook_log_says "web1: prepare: vda 'web1.qcow2': continued"
	destroy_domain web1
	no_session
	forget_point snapshots
	image_is_as_before
}
promise "each virsh snapshot-* does what the manual page says, in the session and after it" the_table

# The release came while no daemon answered, say: then it is the next start that discards what the session left.
discarded_at_a_start() {
	begin "$unarmed"
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 s1 >&2
	chmod a-x "$HOOK_DIR/revertfs"
	destroy_domain web1
	chmod a+x "$HOOK_DIR/revertfs"
	virsh -q snapshot-delete web1 s1 --metadata >&2
	starts_with web1 vda 0 8M 1
	hook_log_says "web1: prepare: vda 'web1.qcow2': fresh as snapshots-"
	forget_point snapshots
	image_is_as_before
}
promise "... nor does a start throw them away, where the hook was missing at the end" discarded_at_a_start

by_hand() {
	qemu-img snapshot -c mine "$MNT/web1.qcow2"
	ctl_fails EBUSY 'reset web1.qcow2'
	ctl 'reset web1.qcow2 force=yes'
	at_rest web1.qcow2
	qemu-img snapshot -c mine "$MNT/web1.qcow2"
	refuses ctl 'reset web1.qcow2'
	says "'snapshot web1.qcow2 POINT' keeps them, 'reset web1.qcow2 force=yes' gives them up"
	ctl 'snapshot web1.qcow2 mine'
	same "$(qemu-img snapshot -l -U "$(path_of_point web1.qcow2 mine)" | awk 'NR > 2 { print $2 }')" mine
	ctl 'reset web1.qcow2'
	ctl 'delete web1.qcow2 mine'
	wait_until 20 at_rest web1.qcow2
}
promise "a reset by hand throws internal snapshots away by force alone" by_hand
before=$(image_state web1.qcow2)

# libvirt applies the snapshot with qemu-img, after the release.
an_offline_revert() {
	local point
	begin "$unarmed"
	destroy_domain web1
	virsh -q snapshot-create-as web1 offline >&2
	start_domain web1
	refuses virsh -q snapshot-revert web1 offline --force
	wait_until 20 domain_is web1 "shut off"
	virsh -q snapshot-delete web1 offline --metadata >&2
	starts_with web1 vda 0 8M 1
	no_session
	# qemu-img wrote without a domain: kept aside, as anything written so.
	same "$(points web1.qcow2 | sed 's/-.*//' | sort -u)" unhooked
	for point in $(points web1.qcow2); do ctl "delete web1.qcow2 $point"; done
	wait_until 10 at_rest web1.qcow2
	image_is_as_before
}
promise "an internal snapshot that libvirt takes of a protected disk at rest does not reach the image" an_offline_revert

new_libvirt
promise "libvirt 10.5: within a session a domain reverts to its internal snapshots; its end resets" an_internal_revert

an_armed_revert() {
	reverted_within "$armed"
	shutdown_domain web1
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 1M 64k 7
	image_reads web1.qcow2 qcow2 2M 6M 1
	grep -q '"one-shot-commit":false' "$JSON"
	hook_log_says "warning: disk 'web1.qcow2': the internal snapshots that were taken of it do not become part of the image"
	same "$(qemu-img snapshot -l "$IMAGES/web1.qcow2")" ""
	virsh -q snapshot-delete web1 s1 --metadata >&2
}
promise "an armed session that was reverted within commits what it ended with" an_armed_revert
