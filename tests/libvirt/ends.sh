#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How a domain ended decides what becomes of its disk: before libvirt 10.5 the domain's log says how. Whatever the end,
# the real image is written by an orderly commit alone.
# shellcheck disable=SC2154 # they are set there
. "$TESTS/libvirt/ends.bash"

all_ends "libvirt 9.0"

restarts_of_libvirtd() {
	begin "$unarmed"
	stop_libvirt
	start_libvirt
	guest_io web1 vda 'read -P 7 1M 64k'
	same "$(status_of web1.qcow2 .session.domain)" web1
	destroy_domain web1
	was_reset destroyed
	begin "$armed"
	kill_libvirt
	start_libvirt
	guest_io web1 vda 'read -P 7 1M 64k'
	shutdown_domain web1
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': committed"
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 1M 64k 7
	same "$(cat "$JSON")" "${unarmed%\}]\}},\"one-shot-commit\":false}]}"
	# As it was in the beginning, through a commit of its own.
	starts_with web1 vda 1M 64k 7
	guest_write web1.qcow2 1M 64k 1
	ctl "commit web1.qcow2"
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 0 8M 1
	: >"$HOOK_LOG"
}

libvirtd_and_qemu_killed() {
	local pid
	begin "$1"
	pid=$(qemu_pid web1)
	kill_libvirt
	kill -KILL "$pid"
	wait_until 10 process_is_gone "$pid"
	start_libvirt
	is_off
	if [[ $1 == "$unarmed" ]]; then
		was_reset crashed
		starts_afresh
	else
		was_put_aside crashed
	fi
}

both_killed() {
	libvirtd_and_qemu_killed "$unarmed"
	libvirtd_and_qemu_killed "$armed"
}

# libvirt kills the guest when a hook fails at `reconnect`: another's, ours never does.
killed_at_reconnect() {
	begin "$1"
	another_hook_fails_at reconnect
	stop_libvirt
	start_libvirt
	is_off
	rm "$HOOK_DIR/zz-other"
	if [[ $1 == "$unarmed" ]]; then
		was_reset daemon
		starts_afresh
	else
		was_put_aside daemon
	fi
}

ended_by_libvirtd() {
	killed_at_reconnect "$unarmed"
	killed_at_reconnect "$armed"
}

promise "a restart of libvirtd, orderly or not, is no end" restarts_of_libvirtd
before=$(image_state web1.qcow2)
promise "libvirtd and QEMU killed: reset, or sealed aside, when libvirtd is back" both_killed
promise "a guest that libvirtd ends at its start: reset, or sealed aside" ended_by_libvirtd

written_unhooked() {
	echo "$unarmed" >"$JSON"
	mv "$HOOK_DIR/revertfs" "$WORK/hook"
	stop_libvirt
	start_libvirt
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	shutdown_domain web1
	same "$(image_state web1.qcow2)" "$before"
	same "$(status_of web1.qcow2 '"\(.state) \(.unhooked)"')" "dirty true"
	install -m 644 "$WORK/hook" "$HOOK_DIR/revertfs"
	stop_libvirt
	start_libvirt
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'write -P 8 2M 64k'
	destroy_domain web1
	same "$(image_state web1.qcow2)" "$before"
	chmod 755 "$HOOK_DIR/revertfs"
	stop_libvirt
	start_libvirt
	starts_with web1 vda 0 8M 1
	point_reads web1.qcow2 unhooked 1M 64k 7
	point_reads web1.qcow2 unhooked 2M 64k 8
	same "$(image_state web1.qcow2)" "$before"
	make_as_new
}
promise "with the hook missing or not executable the image is not written, and what was is sealed aside" written_unhooked
