#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# one-shot-commit keeps one session's data: it reaches the real image, the flag is taken back with not another byte of
# the file touched, and the session after it reverts to it. What ends otherwise than by an orderly end is never committed.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image raw1.img raw 8M 2
chown 1234:1235 "$IMAGES/web1.qcow2" && chmod 640 "$IMAGES/web1.qcow2"
JSON=/etc/libvirt/hooks/config/web1.json
start_host
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/raw1.img")"

# As an administrator writes it; $1 and $2 are the flags.
write_json() {
	cat >"$JSON" <<-JSON
		{
		    "note": "keep { \"one-shot-commit\": true } as it is",
		  "disks":	[
		    { "one-shot-commit" :  $1, "target": "vda", "x-mine": [1, 2.50, null] },
		    {"target": "vdb", "one-shot-commit": $2 } ],
		  "one-shot-commit": true, "last": "é"
		}
	JSON
}

json_is() {
	cp "$JSON" "$WORK/found.json"
	write_json "$1" "$2"
	cmp "$JSON" "$WORK/found.json"
}

folded() {
	wait_until 30 job_is_done "$1"
	at_rest "$1"
	qemu-img check -q -f "$2" "$IMAGES/$1" >&2 || [[ $2 == raw ]]
}

# image_equals NAME FORMAT QEMU-IO-COMMAND...: the real image is that of the start with these writes.
image_equals() {
	local name=$1 format=$2 expected=$WORK/expected command
	shift 2
	cp "$WORK/$name.first" "$expected"
	for command; do qemu_io -f "$format" -c "$command" "$expected"; done
	qemu-img compare -q -f "$format" -F "$format" "$IMAGES/$name" "$expected" >&2
}
cp "$IMAGES/web1.qcow2" "$WORK/web1.qcow2.first"
cp "$IMAGES/raw1.img" "$WORK/raw1.img.first"

a_commit_reaches_the_image() {
	write_json true false
	chown 1:2 "$JSON"
	chmod 604 "$JSON"
	start_domain web1
	same "$(status_of web1.qcow2 .armed)" true
	same "$(status_of raw1.img .armed)" false
	guest_io web1 vda 'write -P 11 1M 64k'
	guest_io web1 vdb 'write -P 12 1M 64k'
	image_equals web1.qcow2 qcow2
	shutdown_domain web1
	folded web1.qcow2 qcow2
	image_equals web1.qcow2 qcow2 'write -P 11 1M 64k'
	image_equals raw1.img raw
	same "$(stat -c '%u:%g %a' "$IMAGES/web1.qcow2")" "1234:1235 640"
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': committed"
	hook_log_says "web1: release (shutdown): vdb 'raw1.img': reset"
}
promise "one-shot-commit keeps the session's data, and it reaches the real image" a_commit_reaches_the_image

the_flag_is_taken_back() {
	same "$(stat -c '%u:%g %a' "$JSON")" "1:2 604"
	json_is false false
	same "$(find /etc/libvirt/hooks/config -type f)" "$JSON"
}
promise "... its flag is false again, and mode, owner, order and unknown keys are as they were" the_flag_is_taken_back

the_next_session_reverts_to_it() {
	write_json false false
	start_domain web1
	guest_io web1 vda 'read -P 11 1M 64k'
	guest_io web1 vda 'read -P 1 2M 6M'
	guest_io web1 vda 'write -P 13 1M 128k'
	destroy_domain web1
	start_domain web1
	guest_io web1 vda 'read -P 11 1M 64k'
	guest_io web1 vda 'read -P 1 2M 6M'
	destroy_domain web1
	image_equals web1.qcow2 qcow2 'write -P 11 1M 64k'
}
promise "... and the sessions after it revert to that" the_next_session_reverts_to_it

destroyed_domains_commit_both() {
	write_json true true
	start_domain web1
	guest_io web1 vda 'write -P 14 2M 64k'
	guest_io web1 vdb 'write -P 15 2M 64k'
	destroy_domain web1
	folded web1.qcow2 qcow2
	folded raw1.img raw
	image_equals web1.qcow2 qcow2 'write -P 11 1M 64k' 'write -P 14 2M 64k'
	image_equals raw1.img raw 'write -P 15 2M 64k'
	json_is false false
	same "$(find "$STATE/intents" -type f)" ""
}
promise "both disks of a destroyed domain are committed, a raw image too" destroyed_domains_commit_both

a_flag_set_meanwhile_counts() {
	write_json false true
	start_domain web1
	guest_io web1 vda 'write -P 16 3M 64k'
	guest_io web1 vdb 'write -P 17 3M 64k'
	write_json true false
	shutdown_domain web1
	folded web1.qcow2 qcow2
	at_rest raw1.img
	json_is false false
	image_reads web1.qcow2 qcow2 3M 64k 16
	image_reads raw1.img raw 3M 64k 2
}
promise "what the flag says at the end counts, not what it said at the start" a_flag_set_meanwhile_counts

nothing_written_is_committed_too() {
	local image
	write_json true false
	image=$(image_state web1.qcow2)
	start_domain web1
	shutdown_domain web1
	json_is false false
	at_rest web1.qcow2
	same "$(image_state web1.qcow2)" "$image"
}
promise "a session that wrote nothing uses its flag up" nothing_written_is_committed_too

commit_by_command() {
	write_json false false
	start_domain web1
	guest_io web1 vdb 'write -P 18 4M 64k'
	echo "commit $MNT/raw1.img at=release" >"$MNT/.revertfs/control"
	same "$(status_of raw1.img .armed)" true
	same "$("$REVERTCTL" status web1 --json | jq -r '[.disks[].does] | join(" ")')" "reverts armed"
	shutdown_domain web1
	folded raw1.img raw
	image_reads raw1.img raw 4M 64k 18
	json_is false false
	start_domain web1
	guest_io web1 vdb 'write -P 19 4M 64k'
	shutdown_domain web1
	at_rest raw1.img
	image_reads raw1.img raw 4M 64k 18
}
promise "'commit NAME at=release' commits one session as the flag does" commit_by_command

an_image_that_is_open_elsewhere() {
	local image holder
	write_json true false
	image=$(image_state web1.qcow2)
	# An administrator's backup: whoever reads the image with QEMU's tools forbids others to write it.
	coproc { exec qemu-io -r -f qcow2 "$IMAGES/web1.qcow2"; }
	holder=$COPROC_PID
	wait_until 10 grep -q ":$(stat -c %i "$IMAGES/web1.qcow2") " /proc/locks
	start_domain web1
	guest_io web1 vda 'write -P 24 7M 64k'
	shutdown_domain web1
	json_is false false
	fold_failed() { status_of web1.qcow2 .last_error | grep -qi 'lock'; }
	wait_until 20 fold_failed
	same "$(image_state web1.qcow2)" "$image"
	start_domain web1
	guest_io web1 vda 'read -P 24 7M 64k'
	guest_io web1 vda 'write -P 25 7M 64k'
	destroy_domain web1
	same "$(image_state web1.qcow2)" "$image"
	kill "$holder"
	wait_until 10 process_is_gone "$holder"
	ctl "fold web1.qcow2"
	same "$(status_of web1.qcow2 '"\(.state) \(.job) \(.last_error) \([.layers[] | select(.parent == null)] | length)"')" \
		"pristine null null 1"
	image_reads web1.qcow2 qcow2 7M 64k 24
}
promise "a commit into an image that another process has open is kept as a layer and folded later" an_image_that_is_open_elsewhere

a_crash_is_not_committed() {
	local image
	write_json true false
	image=$(image_state web1.qcow2)
	start_domain web1
	guest_io web1 vda 'write -P 20 5M 64k'
	guest_io web1 vda flush
	kill -KILL "$(qemu_pid web1)"
	wait_until 20 domain_is web1 "shut off"
	json_is true false
	write_json true false
	same "$(image_state web1.qcow2)" "$image"
	point_reads web1.qcow2 uncommitted 5M 64k 20
	hook_log_says "web1: release (crashed): vda 'web1.qcow2': aside as uncommitted-"
	start_domain web1
	guest_io web1 vda 'read -P 1 5M 64k'
}
promise "a crash is not committed: what was written is sealed aside, the flag stays" a_crash_is_not_committed

the_flag_still_commits_the_next() {
	guest_io web1 vda 'write -P 21 6M 64k'
	shutdown_domain web1
	json_is false false
	same "$(status_of web1.qcow2 '.layers | length')" 3
	start_domain web1
	guest_io web1 vda 'read -P 21 6M 64k'
	guest_io web1 vda 'read -P 1 5M 64k'
	destroy_domain web1
	point_reads web1.qcow2 uncommitted 5M 64k 20
}
promise "... and the session after it is committed, beside what was kept" the_flag_still_commits_the_next

# A configuration that cannot be written is the one that was consumed: known again by its inode and time.
read_only_configuration() {
	local head
	write_json false true
	start_domain web1
	guest_io web1 vdb 'write -P 22 5M 64k'
	mount --bind /etc/libvirt/hooks/config /etc/libvirt/hooks/config
	mount -o remount,bind,ro /etc/libvirt/hooks/config
	shutdown_domain web1
	folded raw1.img raw
	umount /etc/libvirt/hooks/config
	grep -q '"vdb", "one-shot-commit": true' "$JSON"
	hook_log_says "cannot write one-shot-commit back to '$JSON'"
	head=$(status_of raw1.img .head)
	start_domain web1
	same "$(status_of raw1.img .armed)" false
	grep -q '"vdb", "one-shot-commit": false' "$JSON"
	guest_io web1 vdb 'read -P 22 5M 64k'
	guest_io web1 vdb 'write -P 23 5M 64k'
	shutdown_domain web1
	at_rest raw1.img
	same "$(status_of raw1.img .head)" "$head"
	image_reads raw1.img raw 5M 64k 22
}
promise "a flag that could not be written back does not commit twice" read_only_configuration

resized_while_it_ran() {
	local point
	for point in $(points web1.qcow2); do ctl "delete web1.qcow2 $point"; done
	write_json true true
	start_domain web1
	virsh -q blockresize web1 vda 12M
	virsh -q blockresize web1 "$MNT/raw1.img" 12M
	guest_io web1 vda 'write -P 21 5M 64k'
	shutdown_domain web1
	json_is false false
	folded web1.qcow2 qcow2
	folded raw1.img raw
	image_reads web1.qcow2 qcow2 5M 64k 21
	image_reads web1.qcow2 qcow2 8M 4M 0
	image_reads raw1.img raw 8M 4M 0
	same "$(stat -c %s "$IMAGES/raw1.img")" $((12 << 20))
	same "$(find "$STATE/lost" -type f)" ""
}
promise "disks that virsh blockresize made larger are committed, and their images grow" resized_while_it_ran
