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
