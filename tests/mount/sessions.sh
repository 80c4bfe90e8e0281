#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a disk does when a domain starts and ends, as the hook asks for it by the control file: each line of the tables at the top of
# fs/session/prepare.c and in fs/session/release.c, without libvirt.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=11111111-2222-3333-4444-555555555555
make_image d.img raw 2M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
start_daemon || fail "the daemon starts"

# Each promise begins with the disk as new, under another image of the same content, and no announcement.
anew() {
	stop_daemon
	rm -rf "$STATE" "$IMAGES/d.img"
	cp "$WORK/before.raw" "$IMAGES/d.img"
	start_daemon
	ctl 'protect d.img'
	ctl 'set d.img keep-revisions=9'
}

# prepare ACTION [WORD...]: of the session, before the disk; fails unless this was done. prepare_disk ACTION WORD...: of the disk.
prepare() {
	local action=$1
	shift
	ctl "prepare $uuid domain=dom $* d.img target=vda source=$MNT/d.img" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" "$action"
}

prepare_disk() {
	local action=$1
	shift
	ctl "prepare $uuid domain=dom ${config:-} d.img target=vda source=$MNT/d.img $*" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" "$action"
}

# release ACTION REASON [WORD...]: words of the disk.
release() {
	local action=$1 reason=$2
	shift 2
	ctl "release $uuid domain=dom reason=\"$reason\" ${saved:-} vda source=$MNT/d.img $*" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" "$action"
	same "$(status_of d.img .session)" null
}

guest() {
	guest_write d.img 0 64k "$1"
}

reads() {
	guest_reads d.img 0 64k "$1"
	guest_reads d.img 64k 1984k 1
	cmp "$IMAGES/d.img" "$WORK/before.raw"
}

points() {
	status_of d.img '[.layers[].names[]] | sort | map(sub("-[0-9].*"; "")) | join(" ")'
}

point_reads() {
	qemu_io -r -f qcow2 -c "read -q -P $2 0 64k" "$(status_of d.img ".layers[] | select(.names[0] // \"\" | startswith(\"$1-\")) | .file")"
}

# ---- the ends that reset

resets() {
	local reason
	for reason in shutdown destroyed crashed failed daemon; do
		anew
		prepare fresh
		guest 2
		release reset "$reason"
		reads 1
		same "$(points)" ""
	done
}
promise "shutdown, destroyed, crashed, failed, daemon: what an unarmed session wrote is gone" resets

commits() {
	local reason
	for reason in shutdown destroyed; do
		anew
		prepare_disk fresh armed=yes
		same "$(status_of d.img .armed)" true
		guest 2
		release committed "$reason" armed=yes
		reads 2
		same "$(status_of d.img .armed)" false
		prepare fresh
		reads 2
	done
	# What counts is the JSON when it ends.
	anew
	prepare fresh
	guest 2
	release committed shutdown armed=yes
	reads 2
	anew
	prepare_disk fresh armed=yes
	guest 2
	release reset shutdown armed=no
	reads 1
}
promise "shutdown, destroyed of a session that is armed when it ends: committed" commits

commits_at_release() {
	anew
	prepare fresh
	ctl 'commit d.img at=release'
	same "$(status_of d.img .armed)" true
	guest 2
	release committed shutdown
	reads 2
	same "$(status_of d.img .armed)" false
	prepare fresh
	guest 3
	release reset shutdown
	reads 2
}
promise "commit at=release commits at the end, once" commits_at_release

nothing_to_commit() {
	anew
	prepare_disk fresh armed=yes
	release committed shutdown armed=yes
	reads 1
	same "$(status_of d.img '.layers | length')" 1
}
promise "a session that wrote nothing leaves no layer when it is committed" nothing_to_commit

armed_and_crashed() {
	local reason
	for reason in crashed failed daemon; do
		anew
		prepare_disk fresh armed=yes
		guest 2
		release aside "$reason" armed=yes
		reads 1
		same "$(points)" uncommitted
		point_reads uncommitted 2
		grep -q "ended ($reason): aside" "$DAEMON_LOG"
	done
}
promise "crashed, failed, daemon of an armed session: sealed aside" armed_and_crashed

undecided() {
	local reason
	for reason in migrated unknown; do
		anew
		prepare fresh
		guest 2
		release undecided "$reason"
		same "$(status_of d.img .kept)" undecided
		reads 2
		prepare fresh
		reads 1
		same "$(points)" ""
		anew
		prepare_disk fresh armed=yes
		guest 2
		release undecided "$reason"
		prepare fresh
		reads 1
		same "$(points)" uncommitted
		point_reads uncommitted 2
	done
}
promise "migrated, unknown: kept undecided; the next start resets, or seals aside what was armed" undecided

undecided_and_restored() {
	anew
	prepare fresh
	guest 2
	release undecided unknown
	ctl "announce $uuid"
	prepare continued
	reads 2
	release reset shutdown
	reads 1
}
promise "what was left undecided is continued by an announced restore" undecided_and_restored

json_gone() {
	anew
	prepare fresh
	guest 2
	ctl "release $uuid domain=dom reason=shutdown" >"$WORK/answer" # the target is named no more
	same "$(jq -r '.disks[0].action' "$WORK/answer")" undecided
	same "$(status_of d.img .session)" null
	jq -r '.disks[0].warning' "$WORK/answer" | grep -F "which keeps it as undecided-TIME, for nobody could read whether it was to be committed"
	reads 2
	restart_daemon
	prepare fresh
	reads 1
	same "$(points)" undecided
	point_reads undecided 2
}
promise "a release that does not name the target keeps the scratch undecided, for the next start to seal aside" json_gone

external_snapshot() {
	anew
	prepare fresh
	guest 2
	ctl "release $uuid domain=dom reason=shutdown vda source=/var/lib/other.qcow2" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" undecided
	prepare fresh
	reads 1
	same "$(points)" uncommitted
	point_reads uncommitted 2
}
promise "a disk that became another file's backing is sealed aside by the next start" external_snapshot

from_snapshot() {
	anew
	prepare fresh
	guest 2
	release kept "from snapshot"
	prepare continued
	reads 2
	release reset shutdown
	reads 1
}
promise "from snapshot: the scratch goes on in the prepare that follows at once" from_snapshot

# ---- holds

managed_save() {
	anew
	prepare fresh
	guest 2
	saved=saved=yes release held saved
	same "$(status_of d.img .hold.uuid)" "$uuid"
	same "$(status_of d.img .hold.domain)" dom
	same "$(status_of d.img '.hold.layer | length')" 16
	reads 2
	ctl "announce $uuid"
	prepare resumed saved=yes
	reads 2
	guest 3
	release reset shutdown
	reads 1
	same "$(status_of d.img .hold)" null
	same "$(status_of d.img '.layers | length')" 1
}
promise "managed save: held, resumed on the same bytes, and gone with the session's end" managed_save

saved_again_and_committed() {
	anew
	prepare_disk fresh armed=yes
	guest 2
	saved=saved=yes release held saved armed=yes
	prepare resumed saved=yes
	guest_write d.img 64k 64k 3
	saved=saved=yes release held saved armed=yes
	prepare resumed saved=yes
	guest_reads d.img 0 64k 2
	guest_reads d.img 64k 64k 3
	release committed shutdown armed=yes
	guest_reads d.img 0 64k 2
	guest_reads d.img 64k 64k 3
	same "$(status_of d.img .hold)" null
	ctl 'set d.img keep-revisions=0'
	ctl 'fold d.img'
	image_reads d.img raw 0 64k 2
	image_reads d.img raw 64k 64k 3
	same "$(status_of d.img '.layers | length')" 1
}
promise "a guest that was saved twice is committed with all of it" saved_again_and_committed

managed_save_removed() {
	anew
	prepare fresh
	guest 2
	saved=saved=yes release held saved
	prepare fresh saved=no
	reads 1
	same "$(status_of d.img .hold)" null
	same "$(points)" ""
	same "$(status_of d.img '.layers | length')" 1
}
promise "a managed save that is gone: the hold is dropped" managed_save_removed

saved_to_a_file() {
	anew
	prepare fresh
	guest 2
	release held saved
	prepare fresh
	reads 1
	same "$(status_of d.img .hold)" null
	same "$(points)" saved
	point_reads saved 2
	release reset shutdown
	reads 1
}
promise "saved to a file and started afresh: the hold is sealed aside" saved_to_a_file

file_restored() {
	anew
	prepare fresh
	guest 2
	release held saved
	restart_daemon # nothing of it is in memory alone
	ctl "announce $uuid"
	prepare resumed
	reads 2
}
promise "saved to a file and restored: resumed on the same bytes, also after a restart of the daemon" file_restored

failed_restore() {
	anew
	prepare fresh
	guest 2
	saved=saved=yes release held saved
	local i
	for i in 3 4; do
		ctl "announce $uuid"
		prepare resumed saved=yes
		guest $i
		release dropped failed
		reads 2
		same "$(status_of d.img .hold.uuid)" "$uuid"
	done
	prepare resumed saved=yes
	reads 2
}
promise "a restore that fails: the scratch is dropped, the hold stays for the next try" failed_restore

hold_survives_the_host() {
	anew
	prepare fresh
	guest 2
	saved=saved=yes release held saved
	prepare resumed saved=yes
	guest 3
	kill_daemon
	another_boot
	start_daemon
	prepare resumed saved=yes
	reads 2
	release reset shutdown
}
promise "a host that crashes while a restored guest runs: it can be restored again" hold_survives_the_host

forced() {
	anew
	prepare fresh
	guest 2
	release held saved
	ctl_fails EBUSY 'reset d.img' "held for the saved domain 'dom'"
	ctl 'reset d.img force=yes'
	reads 1
	ctl "announce $uuid"
	ctl_fails ENOENT "prepare $uuid domain=dom d.img target=vda" "is gone (it was reset or committed since); remove the saved state"
	same "$(status_of d.img .last_error)" null || :
}
promise "reset force=yes gives a hold up; the restore is then refused" forced

# ---- announcements

used_up() {
	anew
	prepare fresh
	guest 2
	release held saved
	ctl "announce $uuid"
	prepare resumed
	release dropped failed
	prepare fresh # a second start without an announcement is no restore
	same "$(points)" saved
	reads 1
}
promise "an announcement is used up by the next prepare" used_up

not_used_up_by_others() {
	anew
	ctl "announce $uuid"
	ctl "prepare 99999999-2222-3333-4444-555555555555 domain=other d.img target=vda"
	ctl "release 99999999-2222-3333-4444-555555555555 reason=shutdown vda"
	ctl_fails ENOENT "prepare $uuid domain=dom d.img target=vda" "is gone"
	restart_daemon
	prepare fresh
}
promise "... of that domain alone, and not by one that is refused; it does not outlive the daemon" not_used_up_by_others

# ---- leftovers

left_behind() {
	kill_daemon
	[[ ${1:-} != another ]] || another_boot
	start_daemon
}

discarded() {
	local boot
	for boot in same another; do
		anew
		prepare fresh
		guest 2
		left_behind $boot
		prepare fresh
		reads 1
		same "$(points)" ""
	done
}
promise "a leftover is discarded, after a killed daemon and after a crash of the host" discarded

kept() {
	local boot
	for boot in same another; do
		anew
		prepare_disk fresh leftover=keep
		guest 2
		left_behind $boot
		prepare fresh
		reads 1
		same "$(points)" crash
		point_reads crash 2
		same "$(jq -r '.disks[0].point | startswith("crash-")' "$WORK/answer")" true
	done
	anew
	ctl 'set d.img leftover=keep'
	prepare fresh
	guest 2
	left_behind another
	prepare_disk fresh leftover=discard
	reads 1
	same "$(points)" crash
	guest 3
	left_behind another # that session said discard
	prepare_disk fresh leftover=discard
	reads 1
	same "$(points)" crash
}
promise "leftover=keep: it is sealed aside; what the JSON of that session said counts" kept

armed_leftover() {
	anew
	prepare_disk fresh armed=yes
	guest 2
	left_behind another
	same "$(status_of d.img .kept)" armed
	prepare fresh
	reads 1
	same "$(points)" uncommitted
	point_reads uncommitted 2
	# at=release, said in the middle of a session
	anew
	prepare fresh
	guest 2
	ctl 'commit d.img at=release'
	left_behind another
	prepare fresh
	reads 1
	same "$(points)" uncommitted
}
promise "a leftover of an armed session is always sealed aside" armed_leftover

unhooked() {
	local boot
	for boot in same another; do
		anew
		guest 2
		same "$(status_of d.img .unhooked)" true
		left_behind $boot
		same "$(status_of d.img .unhooked)" true
		reads 2
		prepare fresh
		reads 1
		same "$(status_of d.img .unhooked)" false
		same "$(points)" unhooked
		point_reads unhooked 2
	done
}
promise "what was written without a session is always sealed aside" unhooked

written_after_the_end() {
	anew
	prepare fresh
	guest 2
	release reset shutdown
	guest 3
	same "$(status_of d.img .unhooked)" true
	prepare fresh
	same "$(points)" unhooked
	point_reads unhooked 3
}
promise "... also what is written after a session has ended" written_after_the_end

two_leftovers() {
	anew
	guest 2
	prepare fresh
	release reset shutdown
	guest 3
	prepare fresh
	same "$(points)" "unhooked unhooked"
	same "$(status_of d.img '[.layers[].names[]] | unique | length')" 2
}
promise "two leftovers within a second have two names" two_leftovers

# ---- the consumed JSON

consumed() {
	anew
	config=config=100:7 prepare_disk fresh armed=yes
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" false
	guest 2
	ctl "release $uuid domain=dom config=100:7 reason=shutdown vda armed=yes"
	config=config=100:7 prepare_disk fresh armed=yes # the hook could not write false
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" true
	same "$(status_of d.img .armed)" false
	guest 3
	release reset shutdown armed=no
	reads 2
	config=config=100:8 prepare_disk fresh armed=yes
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" false
	same "$(status_of d.img .armed)" true
	release reset shutdown
}
promise "a one-shot-commit that was done and is still true arms nothing; a JSON that was written since does" consumed

# ---- sessions that are over

over() {
	anew
	prepare fresh
	guest 2
	kill_daemon
	start_daemon # which did not adopt the mount: nobody can write to it any more
	ctl "prepare 99999999-2222-3333-4444-555555555555 domain=other d.img target=vda"
	reads 1
}
promise "a session of before the daemon's start is over, for anyone" over

prepared_twice() {
	anew
	prepare fresh
	guest 2
	prepare fresh # the domain's start failed after this, and libvirt said nothing
	reads 1
	same "$(status_of d.img .session.domain)" dom
	release reset shutdown
}
promise "the same domain may prepare again" prepared_twice

names_of_the_status() {
	anew
	prepare_disk fresh armed=yes
	guest 2
	local keys
	keys=$(status_of d.img 'keys | join(" ")')
	local key
	for key in armed folding format head hold job last_error layers name open properties scratch_bytes session state template unhooked virtual_size; do
		[[ " $keys " == *" $key "* ]]
	done
	same "$(status_of d.img '.state, .format, .virtual_size, .open')" $'dirty\nraw\n2097152\n0'
	same "$(status_of d.img '.session | .uuid, .domain, .target')" "$uuid"$'\ndom\nvda'
	status_of d.img .session.since | grep -qE '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$'
	(($(status_of d.img .scratch_bytes) > 65536))
	same "$(status '.pid')" "$(daemon_pid)"
	same "$(status '.images')" "$IMAGES"
	same "$(status '.mount')" "$MNT"
	release committed shutdown armed=yes
	same "$(status_of d.img '.layers | length')" 2
	same "$(status_of d.img '.layers[] | select(.parent != null) | .id')" "$(status_of d.img .head)"
	same "$(status_of d.img '.layers[] | .file | ltrimstr("'"$MNT"'/.revertfs/layers/")')" \
		"$(status_of d.img .head).qcow2"$'\n'"$(status_of d.img '.layers[1].id').backing_file.img"
	same "$(status_of d.img '.layers | map(.state) | unique | join(" ")')" sealed
	grep -q '^d.img .*pristine.*image+1' "$MNT/.revertfs/status"
}
promise "the status tells all of that" names_of_the_status
stop_daemon || fail "the daemon ends"
