#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A session that was to be kept is never lost to a typo: where the domain's file could not be read when the session ended, what it wrote
# waits, is announced with the command that keeps it, and commits no other session. Nor is what was written without a file at all.
. "$TESTS/libvirt/lib.sh"

make_image b1.qcow2 qcow2 8M 1
JSON=/etc/libvirt/hooks/config/b1.json
start_host
export PATH=$WORK/bin:$PATH
mkdir "$WORK/bin" && ln -s "$REVERTCTL" "$WORK/bin/revertctl"
define_domain b1 "$(uuid_of 1)" "$(disk vda "$MNT/b1.qcow2")"

doctor_says() {
	revertctl doctor --json >"$WORK/doctor" || :
	jq -r '.findings[] | "\(.level): \(.what); \(.fix)"' "$WORK/doctor" >"$WORK/findings"
	grep -qF "$1" "$WORK/findings" || { cat "$WORK/findings" >&2; return 1; }
}

log_says() {
	hook_log_says "b1: $1"
}

# A session that has written 7 at 1M, in which the file was edited by COMMAND.
a_session() {
	: >"$HOOK_LOG"
	echo '{"disks":[{"target":"vda","one-shot-commit":false}]}' >"$JSON"
	start_domain b1
	guest_io b1 vda 'write -P 7 1M 64k'
	"$@"
}

a_typo() {
	sed -i 's/false/True/' "$JSON"
}

# As the administrator corrects it, once the domain is off.
corrected() {
	echo '{"disks":[{"target":"vda","one-shot-commit":true}]}' >"$JSON"
}

as_new() {
	local point
	for point in $(points b1.qcow2); do revertctl delete b1.qcow2 "$point"; done
	wait_until 10 at_rest b1.qcow2
}

keeps="'revertctl commit b1.qcow2'"

it_waits() {
	a_session a_typo
	shutdown_domain b1
	log_says "release (shutdown): vda 'b1.qcow2': undecided"
	log_says "release (shutdown): vda: warning: disk 'b1.qcow2': "
	hook_log_says "for nobody could read whether it was to be committed; $keeps makes it the disk's content now"
	refuses virsh -q start b1
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	says "is not valid JSON in line 1"
	says "what the last session wrote still waits: $keeps keeps it"
	grep -qF "$keeps" "$MNT/.revertfs/status"
	revertctl status b1.qcow2 | grep -qF "$keeps"
	doctor_says "warning: disk 'b1.qcow2': "
	doctor_says "$keeps makes it the disk's content now"
}
promise "what a session wrote whose file was not valid at its end waits: log, start, status and doctor say how it is kept" it_waits

kept_by_hand() {
	typed "$WORK/refusal" 'revertctl commit'
	corrected
	revertctl status b1 | grep -F "reverts: what the next session writes is thrown away when it ends; its one-shot-commit was meant for"
	start_domain b1
	log_says "prepare: vda: its one-shot-commit was for an earlier session"
	grep -q '"one-shot-commit":false' "$JSON"
	guest_io b1 vda 'read -P 7 1M 64k'
	guest_io b1 vda 'write -P 8 2M 64k'
	shutdown_domain b1
	log_says "release (shutdown): vda 'b1.qcow2': reset"
	wait_until 20 at_rest b1.qcow2
	image_reads b1.qcow2 qcow2 1M 64k 7
	image_reads b1.qcow2 qcow2 2M 64k 1
}
promise "... typed as it stands that keeps it, and the flag, corrected since, commits no other session" kept_by_hand
before=$(image_state b1.qcow2)

sealed_at_the_next_start() {
	a_session a_typo
	guest_io b1 vda 'write -P 9 3M 64k'
	shutdown_domain b1
	corrected
	start_domain b1
	log_says "prepare: vda 'b1.qcow2': fresh as undecided-"
	log_says "prepare: vda: its one-shot-commit was for an earlier session"
	guest_io b1 vda 'read -P 1 3M 64k'
	guest_io b1 vda 'write -P 10 4M 64k'
	shutdown_domain b1
	log_says "release (shutdown): vda 'b1.qcow2': reset"
	same "$(image_state b1.qcow2)" "$before"
	typed "$HOOK_LOG" 'revertctl revert'
	start_domain b1
	guest_io b1 vda 'read -P 9 3M 64k'
	destroy_domain b1
	as_new
}
promise "else the next start seals it aside as undecided-TIME, and says how it is had back" sealed_at_the_next_start
before=$(image_state b1.qcow2)

# Whatever keeps the hook from reading the flag: no file, no target in it, no right.
unreadable_in_other_ways() {
	local way
	for way in 'rm '"$JSON" 'sed -i s/vda/vdb/ '"$JSON" 'mv /etc/libvirt/hooks/config /etc/libvirt/hooks/away'; do
		# shellcheck disable=SC2086
		a_session $way
		destroy_domain b1
		[[ ! -e /etc/libvirt/hooks/away ]] || mv /etc/libvirt/hooks/away /etc/libvirt/hooks/config
		corrected
		start_domain b1
		log_says "prepare: vda 'b1.qcow2': fresh as undecided-"
		destroy_domain b1
		point_reads b1.qcow2 undecided 1M 64k 7
		same "$(image_state b1.qcow2)" "$before"
		as_new
	done
	a_session a_typo
	kill -KILL "$(qemu_pid b1)"
	wait_until 20 domain_is b1 "shut off"
	log_says "release (crashed): vda 'b1.qcow2': aside as undecided-"
	point_reads b1.qcow2 undecided 1M 64k 7
	as_new
}
promise "so it is where the file, its directory or the target in it is gone, and where QEMU crashed" unreadable_in_other_ways

armed_on_purpose() {
	a_session a_typo
	shutdown_domain b1
	corrected
	revertctl commit-once b1 | grep -qF "what its next session writes to vda will be kept, once"
	start_domain b1
	log_says "prepare: vda 'b1.qcow2': fresh as undecided-"
	same "$(status_of b1.qcow2 .armed)" true
	destroy_domain b1
	log_says "release (destroyed): vda 'b1.qcow2': committed"
	as_new
}
promise "commit-once after such an end arms the next session, which nobody else does" armed_on_purpose

# ---- no file at all: the image is not written either

# As an administrator does it who wants to update the VM: $1 is done while it runs.
without_a_file() {
	: >"$HOOK_LOG"
	echo '{"disks":[{"target":"vda","one-shot-commit":false}]}' >"$WORK/b1.json"
	rm -f "$JSON"
	start_domain b1
	"$@"
}

shut_down_and_file_back() {
	shutdown_domain b1
	cp "$WORK/b1.json" "$JSON"
}

unhooked_consistency() {
	status_of b1.qcow2 '.layers[] | select(any(.names[]; startswith("unhooked-"))) | .consistency'
}

unhooked_is_kept() {
	without_a_file guest_io b1 vda 'write -P 20 5M 64k'
	doctor_says "warning: disk 'b1.qcow2' is written without the hook's protection: nothing reverts it; once nothing uses it, $keeps keeps"
	shut_down_and_file_back
	same "$(image_state b1.qcow2)" "$before"
	doctor_says "warning: disk 'b1.qcow2': "
	doctor_says "which was written without the hook's protection, waits for its next start with a file for the hook, which keeps it as unhooked-TIME; $keeps"
	grep -qF "without the hook's protection" "$MNT/.revertfs/status"
	revertctl status b1.qcow2 >"$WORK/said"
	typed "$WORK/said" 'revertctl commit'
	wait_until 20 at_rest b1.qcow2
	image_reads b1.qcow2 qcow2 5M 64k 20
	starts_with b1 vda 5M 64k 20
	at_rest b1.qcow2
}
promise "what was written without a file is announced with the commands that keep it, and work" unhooked_is_kept
before=$(image_state b1.qcow2)

unhooked_is_put_aside() {
	without_a_file guest_io b1 vda 'write -P 21 6M 64k'
	shut_down_and_file_back
	start_domain b1
	log_says "prepare: vda 'b1.qcow2': fresh as unhooked-"
	log_says "prepare: vda: what was written before is in 'unhooked-"
	guest_io b1 vda 'read -P 1 6M 64k'
	same "$(unhooked_consistency)" null # clean
	point_reads b1.qcow2 unhooked 6M 64k 21
	destroy_domain b1
	same "$(image_state b1.qcow2)" "$before"
}
promise "... else the next start puts it aside, and says so; its guest was shut down in order, so it is clean" unhooked_is_put_aside

folding_is_held_up() {
	revertctl commit-once b1
	start_domain b1
	guest_io b1 vda 'write -P 22 7M 64k'
	destroy_domain b1
	status_of b1.qcow2 .waits_for >"$WORK/said"
	grep -qF "has the snapshot 'unhooked-" "$WORK/said"
	doctor_says "warning: disk 'b1.qcow2': 'unhooked-"
	doctor_says "and is still there, so that commits are not folded into the image; 'revertctl revert b1.qcow2 unhooked-"
	typed "$WORK/said" 'revertctl delete'
	wait_until 20 at_rest b1.qcow2
	image_reads b1.qcow2 qcow2 7M 64k 22
}
promise "... as long as that is there, status and doctor say which command has commits folded again" folding_is_held_up

unhooked_of_other_kinds() {
	without_a_file
	shut_down_and_file_back
	start_domain b1
	log_says "prepare: vda 'b1.qcow2': fresh"
	destroy_domain b1
	same "$(points b1.qcow2)" ""
	without_a_file guest_io b1 vda 'write -P 23 6M 64k'
	kill -KILL "$(qemu_pid b1)"
	wait_until 20 domain_is b1 "shut off"
	cp "$WORK/b1.json" "$JSON"
	start_domain b1
	same "$(unhooked_consistency)" crash-consistent
	destroy_domain b1
	as_new
	# Shut down, and written once more by somebody else.
	without_a_file guest_io b1 vda 'write -P 23 6M 64k'
	shut_down_and_file_back
	guest_write b1.qcow2 6M 64k 24
	start_domain b1
	same "$(unhooked_consistency)" crash-consistent
	destroy_domain b1
	as_new
}
promise "nothing is put aside where nothing was written; of a guest that crashed it is crash-consistent" unhooked_of_other_kinds
