#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Arming a running session, the start after the host's crash, and the prepare that follows, each cut short at any step: what was to
# be kept is kept, once and whole, and the flag of the session that crashed commits no other.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

options=() # as there

UUID=11111111-2222-3333-4444-555555555555
mount -t tmpfs tmpfs /etc/libvirt && mkdir -p /etc/libvirt/hooks/config || fail "/etc/libvirt can be mounted over"
JSON=/etc/libvirt/hooks/config/d.json
make_image a.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k"

json() {
	echo "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":$1}]}" >"$JSON.new"
	mv "$JSON.new" "$JSON"
}

version() {
	stat -c '%d:%i:%.9Y' "$JSON"
}

prepare() {
	ctl "prepare $UUID domain=d config=$(version) a.img target=vda armed=$(grep -q true "$JSON" && echo yes || echo no)"
}

# That a session runs is on the medium, which takes a moment otherwise: another target of it is armed.
a_session() {
	json false
	prepare
	ctl "arm $UUID $(version) none"
	qemu_io -t unsafe -f qcow2 -c "write -q -P 2 512k 256k" "$MNT/a.img"
}

commit_once() {
	json true
	ctl "arm $UUID $(version) vda"
}

points() {
	status_of a.img "[.layers[].names[]] | map(sub(\"-[0-9].*\"; \"\")) | join(\" \")"
}

aside_is_whole() {
	qemu-img compare -q -f raw -F qcow2 "$WORK/after.raw" "$(status_of a.img '.layers[] | select(.names[0]) | .file')"
}

next_is_not_committed() {
	same "$(which a.img before)" before
	same "$(status_of a.img .armed)" false
	ctl "release $UUID domain=d config=$(version) reason=shutdown vda armed=yes" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" reset
	same "$(which a.img before)" before
}

# After a power cut what was never synced may be gone, unless commit-once was answered.
is_kept() {
	is_mended
	prepare
	if [[ $HOW == kill || -e $WORK/done ]]; then
		same "$(points)" uncommitted
		aside_is_whole
	fi
	next_is_not_committed
}
ctl_disk() {
	start_daemon && ctl 'protect a.img' && ctl 'set a.img keep-revisions=9'
}
ctl_disk >/dev/null || fail "the image can be protected"
keep_setup
promise "a crash at any step of commit-once: what the session wrote is kept where it was answered, and the next is not committed" \
	each_crash a_session commit_once is_kept alternating

# A step that fails: commit-once is refused, and done by another try; the file counts anyway.
is_armed_in_the_end() {
	[[ $AGAIN == no ]] || return 0
	commit_once
	same "$(status_of a.img .kept)" armed
	ctl "release $UUID domain=d config=$(version) reason=shutdown vda armed=yes" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" committed
	same "$(which a.img after)" after
}
promise "where a step fails, commit-once says so, and can be said again" \
	each_failure a_session commit_once is_armed_in_the_end EIO

# The host crashes right after an edit; the start after that is killed at any step.
crashed_right_after_an_edit() {
	! daemon_runs || kill_daemon
	put_setup_back
	heal
	rm -f "$TRACE"
	start_daemon "${options[@]}"
	a_session
	kill -STOP "$(daemon_pid)"
	json true
	kill_daemon
	another_boot
}

is_unsynced_once() {
	is_mended
	prepare
	same "$(points)" unsynced
	aside_is_whole
	next_is_not_committed
}

starts() {
	local n
	HOW='kill'
	for ((n = 1 + RANDOM % STRIDE; ; n += STRIDE)); do
		crashed_right_after_an_edit
		plan kill "$n"
		PROGRAM=$REVERTFS_FAULTS launch_daemon "${options[@]}"
		wait_until 20 mounted_or_gone
		heal
		was_hit || break
		wait_until 20 daemon_is_gone
		umount -l "$MNT" 2>/dev/null || :
		start_daemon "${options[@]}"
		is_unsynced_once
		struck=$n
	done
	((struck > 3))
	is_unsynced_once
}
promise "... of the start after the host's crash: what was never synced waits for the prepare" starts

start_daemon "${options[@]}" && crashed_right_after_an_edit && start_daemon "${options[@]}" || fail "a leftover waits"
keep_setup
put_aside_once() {
	is_mended
	[[ -e $WORK/done && $HOW == kill ]] || prepare
	same "$(points)" unsynced
	aside_is_whole
	next_is_not_committed
}
promise "... of the prepare that puts it aside" each_crash true prepare put_aside_once alternating
