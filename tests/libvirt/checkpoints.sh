#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Incremental backups (virsh backup-begin, with checkpoints) of a disk that reverts are never incomplete without a word:
# libvirt refuses one after a revert and after a commit, and doctor and adopt have said so.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
JSON=/etc/libvirt/hooks/config/web1.json
start_host -o protect=web1.qcow2
install -d -o libvirt-qemu "$WORK/out"

begin() {
	echo "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":$1}]}" >"$JSON"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	start_domain web1
}

backup_is_done() {
	virsh domjobinfo web1 | grep -q None
}

# backup CHECKPOINT FILE [SINCE]
backup() {
	cat >"$WORK/backup.xml" <<-XML
		<domainbackup>${3:+<incremental>$3</incremental>}<disks>
		<disk name='vda' backup='yes' type='file'><driver type='qcow2'/><target file='$WORK/out/$2'/></disk></disks></domainbackup>
	XML
	echo "<domaincheckpoint><name>$1</name></domaincheckpoint>" >"$WORK/checkpoint.xml"
	virsh -q backup-begin web1 "$WORK/backup.xml" "$WORK/checkpoint.xml" >&2 || return
	wait_until 20 backup_is_done
}

within_a_session() {
	begin false
	backup first full.qcow2
	guest_io web1 vda 'write -P 7 1M 64k'
	backup second inc.qcow2 first
	qemu_io -r -f qcow2 -c 'read -q -P 1 0 8M' "$WORK/out/full.qcow2"
	qemu-img rebase -u -f qcow2 -F qcow2 -b full.qcow2 "$WORK/out/inc.qcow2"
	qemu_io -r -f qcow2 -c 'read -q -P 1 0 1M' -c 'read -q -P 7 1M 64k' "$WORK/out/inc.qcow2"
	destroy_domain web1
	at_rest web1.qcow2
}
promise "within a session backups are complete, full and incremental ones" within_a_session

doctor_says() {
	local status=0
	"$REVERTCTL" doctor --json >"$WORK/found" || status=$?
	same "$status" 1
	jq -e 'any(.findings[]; .level == "warning" and (.what | contains("checkpoints of domain '\''web1'\'' ('\''first'\'', '\''second'\'')")))' "$WORK/found" >&2
}

after_a_revert() {
	doctor_says
	begin false
	refuses backup third inc2.qcow2 second
	says "missing or broken bitmap"
	virsh -q checkpoint-delete web1 second --metadata >&2
	virsh -q checkpoint-delete web1 first --metadata >&2
	destroy_domain web1
}
promise "after a revert an incremental one is refused by libvirt, and doctor says why" after_a_revert

across_a_commit() {
	ctl 'set web1.qcow2 keep-revisions=2'
	begin true
	backup third full3.qcow2
	guest_io web1 vda 'write -P 9 3M 64k'
	destroy_domain web1
	begin false
	guest_io web1 vda 'read -P 9 3M 64k'
	refuses backup fourth inc4.qcow2 third
	says "missing or broken bitmap"
	destroy_domain web1
	# What carries the bitmap is a layer like any other.
	ctl 'set web1.qcow2 keep-revisions=0'
	wait_until 20 job_is_done web1.qcow2
	wait_until 10 at_rest web1.qcow2
	image_reads web1.qcow2 qcow2 3M 64k 9
	image_reads web1.qcow2 qcow2 0 3M 1
}
promise "so is one across a commit, and the layer with the bitmap is folded" across_a_commit

adopted() {
	rm "$JSON"
	ctl 'unprotect web1.qcow2'
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.qcow2")"
	"$REVERTCTL" adopt web1 >"$WORK/said"
	grep -q "libvirt has checkpoints of it ('third'): an incremental backup from one is refused from now on" "$WORK/said"
	typed "$WORK/said" 'virsh checkpoint-delete'
	same "$(virsh -q checkpoint-list web1 --name)" ""
	starts_with web1 vda 3M 64k 9
}
promise "adopt warns of checkpoints, and how libvirt forgets them works" adopted
