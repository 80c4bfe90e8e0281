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
