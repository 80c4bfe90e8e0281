#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How a domain ended decides what becomes of its disk: from libvirt 10.5 on the hook is told how, and the domain's log
# need not say so. What it is not told, or does not know, it leaves for the next start to decide.
# shellcheck disable=SC2154 # they are set there
. "$TESTS/libvirt/ends.bash"

new_libvirt
all_ends "libvirt 10.5"

forced_reasons() {
	local reason
	for reason in migrated unknown - 'something new'; do
		begin "$unarmed"
		echo "$reason" >"$LV/reason"
		destroy_domain web1
		hook_log_says ": vda 'web1.qcow2': undecided"
		same "$(status_of web1.qcow2 '"\(.state) \(.session) \(.kept)"')" "dirty null undecided"
		starts_afresh
		: >"$HOOK_LOG"
		begin "$armed"
		echo "$reason" >"$LV/reason"
		destroy_domain web1
		same "$(cat "$JSON")" "$armed"
		same "$(image_state web1.qcow2)" "$before"
		rm "$LV/reason"
		starts_afresh
		echo "$armed" >"$JSON"
		is_aside uncommitted
	done
}
promise "migrated, or no known reason: the disk is kept, and sealed aside at the next start if it was armed" forced_reasons
