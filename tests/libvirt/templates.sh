#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Thin machines made of a template, with libvirt: what keeps one from starting is said when it is adopted, and one that is to keep its data
# keeps it, whatever becomes of its template.
. "$TESTS/libvirt/lib.sh"

CONFIG=/etc/libvirt/hooks/config
make_image tpl.qcow2 qcow2 8M 1
start_host -o protect=tpl.qcow2

revertctl() {
	"$REVERTCTL" "$@"
}
# found LEVEL WORDS: doctor has such a finding. silent WORDS: it has none with these words.
found() {
	revertctl doctor --json >"$WORK/found" || :
	jq -e --arg l "$1" --arg w "$2" 'any(.findings[]; .level == $l and (.what | contains($w)))' "$WORK/found" >&2
}
silent() {
	revertctl doctor --json >"$WORK/found" || :
	jq -e --arg w "$1" 'all(.findings[]; .what | contains($w) | not)' "$WORK/found" >&2 || { jq -c '.findings[] | select(.level != "fine")' "$WORK/found" >&2; return 1; }
}

# As 'virt-sysprep -a' does: the image itself, in its place, while a clone has data.
a_changed_template() {
	ctl "clone tpl.qcow2 k1.qcow2"
	ctl "clone tpl.qcow2 k2.qcow2"
	define_domain k1 "$(uuid_of 1)" "$(disk vda "$MNT/k1.qcow2")"
	guest_write k2.qcow2 0 64k 3
	qemu_io -f qcow2 -c 'write -q -P 2 0 1M' "$IMAGES/tpl.qcow2"
	refuses revertctl adopt k1 --dry-run
	says "changes in the scratch of the disk 'k2.qcow2' stand on what it was"
	refuses revertctl adopt k1
	says "'reset k2.qcow2' gives them up"
	[[ ! -e $CONFIG/k1.json ]]
	domain_json k1 <<<'{"disks":[{"target":"vda"}]}'
	refuses start_domain k1
	says "changes in the scratch of the disk 'k2.qcow2' stand on what it was"
	found problem "domain 'k1' would not start: disk 'k1.qcow2': its image was changed"
	rm "$CONFIG/k1.json"
	read -ra way < <(grep -o "reset k2.qcow2" "$WORK/refusal" | head -n 1)
	revertctl "${way[@]}" >&2
	revertctl adopt k1 >&2
	starts_with k1 vda 0 1M 2
	at_rest k1.qcow2
	at_rest k2.qcow2
}
promise "a clone whose template was changed under another's data is not adopted, with the sentence of its start, until what is offered is typed" a_changed_template

# ---- a thin machine that keeps its data

a_thin_machine() {
	ctl "clone tpl.qcow2 db.qcow2"
	revertctl set db.qcow2 reverts=no >&2
	define_domain db "$(uuid_of 3)" "$(disk vda "$MNT/db.qcow2")"
	start_domain db
	guest_io db vda 'read -P 2 0 1M'
	guest_io db vda 'write -P 11 1M 64k'
	shutdown_domain db
	start_domain db
	guest_io db vda 'read -P 11 1M 64k'
	guest_io db vda 'write -P 12 2M 64k'
	guest_io db vda flush
	destroy_domain db
	starts_with db vda 2M 64k 12
	silent db
	revertctl status db.qcow2 | grep -q '^properties .* reverts=no$'
}
promise "a thin clone that does not revert keeps what its guest writes over power cycles, and doctor says nothing of it" a_thin_machine

over_a_host_crash() {
	start_domain db
	guest_io db vda 'write -P 13 3M 64k'
	guest_io db vda flush
	crash_host
	start_daemon
	start_libvirt
	start_domain db
	guest_io db vda 'read -P 11 1M 64k'
	guest_io db vda 'read -P 12 2M 64k'
	guest_io db vda 'read -P 13 3M 64k'
	virsh -q managedsave db >&2
	start_domain db
	guest_io db vda 'read -P 13 3M 64k'
	destroy_domain db
	silent db
}
promise "... over a host crash, and over a managed save" over_a_host_crash

over_commits_of_its_template() {
	guest_write tpl.qcow2 0 64k 21
	ctl "commit tpl.qcow2"
	guest_write tpl.qcow2 1M 64k 22
	ctl "commit tpl.qcow2"
	ctl "fold tpl.qcow2" | jq -e '.waits_for | test("db.qcow2")' >&2
	starts_with k1 vda 0 64k 21
	start_domain db
	guest_io db vda 'read -P 2 0 1M'
	guest_io db vda 'read -P 11 1M 64k'
	guest_io db vda 'write -P 14 4M 64k'
	guest_io db vda flush
	destroy_domain db
	ctl "fold tpl.qcow2"
	starts_with db vda 4M 64k 14
	# Two commits became one layer.
	same "$(status_of tpl.qcow2 .depth)" 1
	silent db
}
promise "... and over commits of its template, which wait for it, and do not pile up" over_commits_of_its_template

nothing_takes_it_away() {
	refuses revertctl adopt db
	says "keeps its data (reverts=no)"
	domain_json db <<<'{"disks":[{"target":"vda"}]}'
	refuses start_domain db
	says "disk 'db.qcow2' keeps its data (reverts=no): take 'vda' out of the domain's file, or have it revert with 'set db.qcow2 reverts=yes'"
	found problem "domain 'db' would not start: disk 'db.qcow2' keeps its data"
	rm "$CONFIG/db.json"
	ctl_fails EBUSY "reset db.qcow2" "'reset db.qcow2 force=yes' throws it away"
	starts_with db vda 4M 64k 14
}
promise "neither a file for the hook nor a reset takes its data away" nothing_takes_it_away

points_of_it() {
	ctl "snapshot db.qcow2 before"
	start_domain db
	guest_io db vda 'write -P 15 4M 64k'
	guest_io db vda flush
	destroy_domain db
	ctl "revert db.qcow2 before"
	starts_with db vda 4M 64k 14
	ctl "delete db.qcow2 $(points db.qcow2 | grep ^before-revert)"
}
promise "it has snapshots, as any disk" points_of_it

reverts_again() {
	guest_write db.qcow2 5M 64k 16
	ctl "set db.qcow2 reverts=yes"
	revertctl adopt db >&2
	start_domain db
	guest_io db vda 'read -P 14 4M 64k'
	guest_io db vda 'write -P 17 6M 64k'
	ctl_fails EBUSY "set db.qcow2 reverts=no" "is open for writing"
	destroy_domain db
	point_reads db.qcow2 unhooked 5M 64k 16
	start_domain db
	guest_io db vda 'write -P 17 6M 64k'
	virsh -q managedsave db >&2
	ctl_fails EBUSY "set db.qcow2 reverts=no" "is held"
	virsh -q managedsave-remove db >&2
	starts_with db vda 4M 64k 14
}
promise "it reverts again when that is said, and what it had is kept aside" reverts_again
