#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The machine crashes under running domains: they start again, the real images have the bytes that they had, and what
# the guests had written is discarded, or kept under a name where that was asked for or where it was to be committed.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image raw1.img raw 8M 2
make_image big1.qcow2 qcow2 96M 3
chown 1234:1235 "$IMAGES"/* && chmod 640 "$IMAGES"/*
JSON=/etc/libvirt/hooks/config/web1.json
start_host
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/raw1.img")"
remember_images() {
	(image_state web1.qcow2; image_state raw1.img) >"$WORK/images.before"
}
remember_images

images_are_as_before() {
	same "$(image_state web1.qcow2; image_state raw1.img)" "$(cat "$WORK/images.before")"
	qemu-img check -q -f qcow2 "$IMAGES/web1.qcow2" >&2
}

# A running domain that has written 7 at 1M of both disks, all of it on the disk for all that QEMU knows.
running_and_written() {
	cat >"$JSON"
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdb 'read -P 2 0 8M'
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
	guest_io web1 vdb 'write -P 7 1M 64k'
	guest_io web1 vdb flush
}

host_comes_back() {
	start_daemon
	start_libvirt
	domain_is web1 "shut off"
	images_are_as_before
}

starts_afresh() {
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vdb 'read -P 2 0 8M'
	destroy_domain web1
	no_session
	images_are_as_before
}

delete_points() {
	local name point
	for name in web1.qcow2 raw1.img; do
		for point in $(points "$name"); do ctl "delete $name $point"; done
		wait_until 20 at_rest "$name"
	done
}

a_leftover_is_discarded() {
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	crash_host
	host_comes_back
	starts_afresh
	at_rest web1.qcow2
	at_rest raw1.img
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb","leftover":"discard"}]}'
	crash_host
	host_comes_back
	starts_afresh
	at_rest raw1.img
}
promise "after the machine's crash a domain starts, and what it had written is gone, time after time" a_leftover_is_discarded

everything_killed() {
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	crash_host same-boot
	host_comes_back
	starts_afresh
	at_rest web1.qcow2
	at_rest raw1.img
}
promise "... so it is when everything was killed without a crash of the machine" everything_killed

a_leftover_is_kept() {
	running_and_written <<<'{"disks":[{"target":"vda","leftover":"keep"},{"target":"vdb"}]}'
	crash_host
	host_comes_back
	starts_afresh
	point_reads web1.qcow2 crash 1M 64k 7
	point_reads web1.qcow2 crash 2M 6M 1
	at_rest raw1.img
	same "$(points raw1.img)" ""
	hook_log_says "web1: prepare: vda 'web1.qcow2': fresh as crash-"
	delete_points
}
promise "with leftover=keep what was written is kept as a named layer, and the disk begins afresh" a_leftover_is_kept

leftover_set_by_command() {
	ctl "set raw1.img leftover=keep"
	running_and_written <<<'{"disks":[{"target":"vda","leftover":"discard"},{"target":"vdb"}]}'
	crash_host same-boot
	host_comes_back
	starts_afresh
	at_rest web1.qcow2
	point_reads raw1.img crash 1M 64k 7
	ctl "set raw1.img leftover=discard"
	delete_points
}
promise "... so it is with 'set NAME leftover=keep'" leftover_set_by_command

# The flag was for the session that crashed: this one is not armed by it.
is_kept_aside() {
	start_domain web1
	hook_log_says "web1: prepare: vda 'web1.qcow2': fresh as $1-"
	hook_log_says "web1: prepare: vda: its one-shot-commit was for an earlier session, which was committed or has crashed"
	grep -q '"one-shot-commit":false' "$JSON"
	guest_io web1 vda 'read -P 1 0 8M'
	point_reads web1.qcow2 "$1" 1M 64k 7
	same "$(status_of web1.qcow2 .armed)" false
	: >"$HOOK_LOG"
}

armed='{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb"}]}'
unarmed='{"disks":[{"target":"vda","one-shot-commit":false},{"target":"vdb"}]}'

an_armed_session() {
	running_and_written <<<"$armed"
	crash_host
	host_comes_back
	same "$(cat "$JSON")" "$armed"
	is_kept_aside uncommitted
	guest_io web1 vda 'write -P 8 2M 64k'
	shutdown_domain web1
	delete_points
	images_are_as_before
}
promise "an armed session is not committed by a crash, but kept as uncommitted-TIME; its flag commits no other session" an_armed_session

armed_while_it_runs() {
	running_and_written <<<"$unarmed"
	"$REVERTCTL" commit-once web1 --target vda --reason "updates" >"$WORK/said"
	grep -q "what the running session writes to vda will be kept, once, when it ends" "$WORK/said"
	same "$(status_of web1.qcow2 '"\(.armed) \(.kept)"')" "true armed"
	crash_host
	host_comes_back
	is_kept_aside uncommitted
	destroy_domain web1
	delete_points
}
promise "... so it is where commit-once has armed it while it ran" armed_while_it_runs

edited_right_before() {
	running_and_written <<<"$unarmed"
	kill -STOP "$(daemon_pid)"
	sed -i 's/"one-shot-commit":false/"one-shot-commit":true/' "$JSON"
	crash_host
	host_comes_back
	is_kept_aside unsynced
	destroy_domain web1
	delete_points
}
promise "an edit that the crash did not leave time for is kept as unsynced-TIME" edited_right_before

autostarted_domains() {
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	virsh -q autostart web1 >&2
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
	crash_host
	start_daemon
	start_libvirt
	wait_until 20 domain_is web1 running
	guest_io web1 vda 'read -P 1 1M 64k'
	virsh -q autostart --disable web1 >&2
	destroy_domain web1
}
promise "a domain that starts with the machine begins afresh" autostarted_domains

in_the_middle_of_a_fold() {
	define_domain big "$(uuid_of 2)" "$(disk vda "$MNT/big1.qcow2")"
	domain_json big <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
	start_domain big
	guest_io big vda 'write -P 9 0 80M'
	shutdown_domain big
	crash_host
	start_daemon
	start_libvirt
	start_domain big
	guest_io big vda 'read -P 9 0 80M'
	guest_io big vda 'read -P 3 80M 16M'
	guest_io big vda 'write -P 10 0 1M'
	guest_io big vda flush
	crash_host
	start_daemon
	start_libvirt
	wait_until 60 at_rest big1.qcow2
	image_reads big1.qcow2 qcow2 0 80M 9
	image_reads big1.qcow2 qcow2 80M 16M 3
	qemu-img check -q -f qcow2 "$IMAGES/big1.qcow2" >&2
	starts_with big vda 0 80M 9
}
promise "a crash right after a commit loses nothing of it, and the fold is taken up again" in_the_middle_of_a_fold

written_without_a_session() {
	guest_write big1.qcow2 1M 64k 11
	crash_host
	start_daemon
	start_libvirt
	starts_with big vda 0 80M 9
	point_reads big1.qcow2 unhooked 1M 64k 11
}
promise "what was written without a domain is kept over a crash" written_without_a_session

# libvirt and QEMU die with /run, revertfs lives: there will be no release, and the session is over all the same.
crash_libvirt() {
	local pid pids
	mapfile -t pids < <(qemu_pids; awk 1 "$LV"/{libvirtd,virtlogd}.process)
	kill -KILL "${pids[@]}"
	for pid in "${pids[@]}"; do wait_until 10 process_is_gone "$pid" || return; done
	find /run/libvirt -mindepth 1 -delete
	rm -f "$LV"/*.pid
	start_libvirt
}

libvirt_alone_crashes() {
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	crash_libvirt
	domain_is web1 "shut off"
	starts_afresh
	at_rest raw1.img
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb","one-shot-commit":true}]}'
	crash_libvirt
	starts_afresh_armed
}

starts_afresh_armed() {
	start_domain web1
	guest_io web1 vda 'read -P 1 1M 64k'
	guest_io web1 vdb 'read -P 2 0 8M'
	point_reads raw1.img uncommitted 1M 64k 7
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	destroy_domain web1
	ctl "delete raw1.img $(points raw1.img)"
	wait_until 10 at_rest raw1.img
}
promise "where libvirt and QEMU died without revertfs, the next start finds the session over" libvirt_alone_crashes

another_domain_after_that() {
	define_domain web2 "$(uuid_of 5)" "$(disk vda "$MNT/raw1.img")"
	domain_json web2 <<<'{"disks":[{"target":"vda"}]}'
	running_and_written <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	crash_libvirt
	wait_until 30 start_domain web2
	guest_io web2 vda 'read -P 2 0 8M'
	destroy_domain web2
	at_rest raw1.img
	starts_afresh
}
promise "... another domain's too, soon after the last writer has gone" another_domain_after_that
