#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A running session that is to be kept after all: by `revertctl commit-once` (its line to the daemon, `arm`), or by an editor. After
# a crash of the host what it had written is there, under a name, and the flag commits no session that it was not meant for.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io strace

uuid=11111111-2222-3333-4444-555555555555
mount -t tmpfs tmpfs /etc/libvirt && mkdir -p /etc/libvirt/hooks/config || fail "/etc/libvirt can be mounted over"
JSON=/etc/libvirt/hooks/config/dom.json
make_image d.img raw 2M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
start_daemon || fail "the daemon starts"

anew() {
	stop_daemon
	rm -rf "$STATE"
	rm "$IMAGES/d.img" # a file that has no mark of the other state directory
	cp "$WORK/before.raw" "$IMAGES/d.img"
	: >"$DAEMON_LOG"
	json false
	start_daemon
	ctl 'protect d.img'
	ctl 'set d.img keep-revisions=9'
}

# json true|false: another version of the domain's file, as editors write it.
json() {
	echo "{\"disks\":[{\"target\":\"vda\",\"one-shot-commit\":$1}]}" >"$JSON.new"
	mv "$JSON.new" "$JSON"
}

version() {
	stat -c '%d:%i:%.9Y' "$JSON"
}

armed() {
	grep -q true "$JSON" && echo yes || echo no
}

# As the hook does it. ACTION is what it was answered.
prepare() {
	ctl "prepare $uuid domain=dom config=$(version) d.img target=vda source=$MNT/d.img armed=$(armed)" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" fresh
}

release() {
	ctl "release $uuid domain=dom config=$(version) reason=$1 vda source=$MNT/d.img armed=$(armed)" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" "$2"
}

# As revertctl does it, in its own order.
commit_once() {
	json true
	arm
}

arm() {
	ctl "${1:-arm} $uuid $(version) vda" >"$WORK/answer"
}

guest() {
	guest_write d.img "${2:-0}" 64k "$1"
}

reads() {
	guest_reads d.img 0 64k "$1"
	cmp "$IMAGES/d.img" "$WORK/before.raw"
}

points() {
	status_of d.img '[.layers[].names[]] | sort | map(sub("-[0-9].*"; "")) | join(" ")'
}

point_reads() {
	qemu_io -r -f qcow2 -c "read -q -P $2 0 64k" "$(status_of d.img ".layers[] | select(.names[0] // \"\" | startswith(\"$1-\")) | .file")"
}

kept() {
	same "$(status_of d.img .kept)" "$1"
}

host_crashes() {
	kill_daemon
	another_boot
	start_daemon
}

logged() {
	grep -F -- "$1" "$DAEMON_LOG" >&2
}

# The session that follows is not committed, and the next one that is asked for is.
asks_for_nothing() {
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" true
	same "$(status_of d.img .armed)" false
	guest 3
	release shutdown reset # the hook could not write false
	reads 1
	json true
	prepare
	same "$(status_of d.img .armed)" true
	guest 4
	release shutdown committed
	reads 4
}

# ---- by a command

armed_while_it_runs() {
	anew
	prepare
	guest 2
	commit_once
	same "$(jq -r '.disks[0].action' "$WORK/answer")" armed
	same "$(status_of d.img .armed)" true
	kept armed
	guest 5 64k
	host_crashes
	reads 2
	prepare
	reads 1
	same "$(points)" uncommitted
	point_reads uncommitted 2
	asks_for_nothing
}
promise "commit-once of a running session: a crash of the host leaves uncommitted-TIME, and the flag commits no other session" armed_while_it_runs

# What the daemon syncs from now on is in $WORK/syncs; $strace is who writes it.
trace_syncs() {
	strace -f -qq -e trace=fsync,fdatasync -y -o "$WORK/syncs" -p "$(daemon_pid)" &
	strace=$!
	wait_until 10 grep -q "^TracerPid:	$strace" "/proc/$(daemon_pid)/status"
}

syncs_at_once() {
	anew
	prepare
	guest 2
	trace_syncs
	commit_once
	grep -q "scratch.qcow2" "$WORK/syncs"
	: >"$WORK/syncs"
	qemu_io -t writeback -f qcow2 -c "write -q -P 2 128k 64k" -c flush "$MNT/d.img"
	grep -q "scratch.qcow2" "$WORK/syncs"
	arm disarm
	: >"$WORK/syncs"
	qemu_io -t writeback -f qcow2 -c "write -q -P 2 192k 64k" -c flush "$MNT/d.img"
	kill "$strace"
	refuses grep "scratch.qcow2" "$WORK/syncs"
	release shutdown committed # what counts is the file
}
promise "... what is there is synced before the answer, and what is flushed from then on; until it is taken back" syncs_at_once

# The domain's file cannot be read at the end: what was written may be committed later, and is no reset's.
undecided_is_synced() {
	anew
	prepare
	guest 2
	trace_syncs
	ctl "release $uuid domain=dom reason=shutdown" >"$WORK/answer"
	kill "$strace"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" undecided
	grep -q "scratch.qcow2" "$WORK/syncs"
	ctl 'commit d.img'
}
promise "what a session wrote whose file could not be read is synced at its end" undecided_is_synced

taken_back() {
	anew
	prepare
	guest 2
	commit_once
	json false
	arm disarm
	same "$(jq -r '.disks[0].action' "$WORK/answer")" disarmed
	kept null
	host_crashes
	reads 1
	logged "what domain 'dom' had written when the host crashed is thrown away: "
	prepare
	same "$(points)" ""
}
promise "... discard-next takes it back" taken_back

of_nobody_else() {
	anew
	prepare
	guest 2
	ctl "arm 99999999-2222-3333-4444-555555555555 $(version) vda" >"$WORK/answer"
	ctl "arm $uuid $(version) vdb" >>"$WORK/answer"
	same "$(jq -c .disks "$WORK/answer" | xargs)" "[] []"
	same "$(status_of d.img .armed)" false
	release shutdown reset
	ctl "arm $uuid $(version) vda" >"$WORK/answer"
	same "$(jq -c .disks "$WORK/answer")" "[]"
}
promise "another domain, another target, no session: nothing is armed" of_nobody_else

armed_before() {
	anew
	json true
	prepare
	guest 2
	host_crashes
	prepare
	same "$(points)" uncommitted
	point_reads uncommitted 2
	asks_for_nothing
}
promise "a session that began armed: what it wrote is kept, and the flag was for that one alone" armed_before

armed_by_at_release() {
	anew
	prepare
	guest 2
	ctl 'commit d.img at=release'
	host_crashes
	prepare
	same "$(points)" uncommitted
	same "$(status_of d.img .armed)" false
	guest 3
	release shutdown reset
	# Said of the next session while none runs, it is meant for that.
	ctl 'commit d.img at=release'
	host_crashes
	prepare
	same "$(status_of d.img .armed)" true
}
promise "commit at=release was for the session that crashed, too; said while none runs, it is for the next" armed_by_at_release

# ---- by an editor

edited_and_noticed() {
	anew
	prepare
	guest 2
	json true
	wait_until 10 kept edited
	host_crashes
	prepare
	reads 1
	same "$(points)" uncommitted
	point_reads uncommitted 2
	asks_for_nothing
}
promise "an edited file reaches the daemon: what is there is synced, and kept as uncommitted-TIME where the file says so" edited_and_noticed

edited_for_another_reason() {
	anew
	prepare
	guest 2
	json false
	wait_until 10 kept edited
	host_crashes
	reads 2
	prepare
	reads 1
	same "$(points)" ""
	logged "what an earlier session left is thrown away: "
	same "$(status_of d.img .armed)" false
}
promise "... and thrown away where it does not, with a line in the log that says how much" edited_for_another_reason

# The daemon does not get to see the edit.
edited_right_before() {
	anew
	prepare
	guest 2
	kill -STOP "$(daemon_pid)"
	json "$1"
	kill -KILL "$(daemon_pid)"
	wait_until 20 daemon_is_gone
	umount -l "$MNT"
	[[ ${2:-} != tear ]] || tear
	[[ ${2:-} == same_boot ]] || another_boot
	start_daemon
}

unnoticed() {
	edited_right_before true
	kept unsynced
	reads 2
	prepare
	reads 1
	same "$(points)" unsynced
	point_reads unsynced 2
	asks_for_nothing
}
promise "an edit that was never noticed: what there is of the data is kept as unsynced-TIME" unnoticed

# The host's crash has left a reference count table that is zeros.
tear() {
	local scratch=$STATE/disks/d.img/scratch.qcow2 table
	table=$(od -An -tu8 --endian=big -j 48 -N 8 "$scratch")
	dd if=/dev/zero of="$scratch" bs=1 seek="$((table))" count=8 conv=notrunc status=none
	refuses qemu-img check -q "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"$scratch\"},\"backing\":null}"
}

unnoticed_and_torn() {
	edited_right_before true tear
	kept unsynced
	prepare
	reads 1
	same "$(points)" ""
	logged "its scratch has changes that no layer can be made of (qemu-img found errors in its tables after the host's crash); it was not sealed but moved to lost/"
	status_of d.img .last_error | grep -qE "in the state directory: [1-9][0-9]* bytes"
	same "$(find "$STATE/lost" -name 'd.img-scratch-*.qcow2' | wc -l)" 1
	asks_for_nothing
}
promise "... in lost/ where qemu-img finds errors in it, and the log says how much" unnoticed_and_torn

unnoticed_and_unarmed() {
	edited_right_before false
	kept unsynced
	prepare
	reads 1
	same "$(points)" ""
	logged "what an earlier session left is thrown away: "
}
promise "... thrown away where the file does not say that it is to be committed" unnoticed_and_unarmed

edited_after_the_crash() {
	anew
	prepare
	guest 2
	host_crashes
	kept null # the file is what it was: nothing waits
	logged "what domain 'dom' had written when the host crashed is thrown away: "
	json true
	prepare
	same "$(points)" ""
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" false
	same "$(status_of d.img .armed)" true
	guest 3
	release shutdown committed
	reads 3
}
promise "an edit after the crash is for the next session" edited_after_the_crash

edited_twice() {
	edited_right_before true
	json true # once more, after the crash
	prepare
	same "$(points)" unsynced
	same "$(status_of d.img .armed)" true
}
promise "... and for both, when there was one before, too" edited_twice

written_unhooked() {
	edited_right_before true
	guest 5 64k
	json false
	prepare
	same "$(points)" unhooked
}
promise "what somebody writes into a leftover that waits is kept" written_unhooked

crashes_again() {
	edited_right_before true
	another_boot
	restart_daemon
	another_boot
	json true # meant for the next session: the one that crashed is over
	restart_daemon
	prepare
	same "$(points)" unsynced
	same "$(status_of d.img .armed)" true
}
promise "a crash is decided about once, however many follow" crashes_again

# Where the daemon does not find the file it cannot look.
elsewhere() {
	anew
	ctl "prepare $uuid domain=dom config=1:2:3.4 d.img target=vda" >"$WORK/answer"
	guest 2
	host_crashes
	kept unsynced
	ctl "prepare $uuid domain=dom config=1:2:5.6 d.img target=vda armed=yes" >"$WORK/answer"
	same "$(points)" unsynced
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" true
	same "$(status_of d.img .armed)" false
	ctl "release $uuid domain=dom config=1:2:5.6 reason=shutdown vda armed=yes" >"$WORK/answer"
	same "$(jq -r '.disks[0].action' "$WORK/answer")" reset
	ctl "prepare $uuid domain=dom config=1:2:7.8 d.img target=vda armed=yes" >"$WORK/answer"
	same "$(status_of d.img .armed)" true
}
promise "a file in another directory: the same, and a flag whose time is not known was for the session that crashed" elsewhere

# ---- without a crash of the host: no release has come

its_end_was_lost() {
	anew
	json true
	prepare
	guest 2
	kill_daemon
	start_daemon
	prepare
	same "$(points)" uncommitted
	asks_for_nothing
	# By an edit that nobody has noticed.
	edited_right_before true same_boot
	prepare
	same "$(points)" uncommitted
	asks_for_nothing
	# A start that fails and says nothing is no session.
	anew
	json true
	prepare
	prepare
	same "$(status_of d.img .armed)" true
}
promise "a session whose end nobody told: as after a crash of the host" its_end_was_lost

# killed COMMAND...: the session is armed, all is killed, and the administrator tidies up.
killed() {
	anew
	prepare
	[[ $1 == nothing ]] || guest 2
	commit_once
	kill_daemon
	start_daemon
	[[ $1 == nothing ]] || ctl "$*"
	prepare
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" true
	same "$(status_of d.img .armed)" false
	guest 3
	release shutdown reset
	json true
	prepare
	same "$(status_of d.img .armed)" true
	guest 4
	release shutdown committed
	reads 4
}
promise "... and after a reset" killed reset d.img
promise "... and after a commit by hand" killed commit d.img
promise "... and after a snapshot" killed snapshot d.img mine
promise "... and where it had written nothing" killed nothing

noticed_then_reset() {
	anew
	prepare
	guest 2
	json true
	[[ $1 != noticed ]] || wait_until 10 kept edited
	kill_daemon
	start_daemon
	ctl 'reset d.img'
	prepare
	same "$(jq -r '.disks[0].consumed' "$WORK/answer")" true
	same "$(status_of d.img .armed)" false
}
promise "... and after an edit and a reset" noticed_then_reset noticed
promise "... and where nobody has noticed the edit" noticed_then_reset unnoticed

# ---- until its next start, whoever looks is told

# In all places where somebody looks.
told() {
	same "$(status_of d.img .leftover | grep -cF -- "$1")" 1
	grep -F -- "warning: disk 'd.img': " "$MNT/.revertfs/status" | grep -F -- "$1" >&2
	"$REVERTCTL" --mount="$MNT" status d.img | grep '^leftover' | grep -F -- "$1" >&2
	"$REVERTCTL" --mount="$MNT" status | grep -F -- "$1" >&2
	"$REVERTCTL" --mount="$MNT" --json doctor >"$WORK/found" || :
	jq -e --arg text "$1" '.findings[] | select(.check == "disks" and .level == "warning") | "\(.what); \(.fix)" | contains($text)' "$WORK/found"
}

nothing_is_told() {
	same "$(status_of d.img .leftover)" null
	refuses grep -F "waits for its next start" "$MNT/.revertfs/status"
}

armed_waits() {
	anew
	nothing_is_told
	prepare
	guest 2
	commit_once
	nothing_is_told # the session runs
	host_crashes
	logged "the host crashed while domain 'dom' ran: what it had written, "
	logged "bytes, waits for its next start, which keeps it as uncommitted-TIME; 'revertctl commit d.img' makes it the disk's content now, 'revertctl reset d.img' throws it away"
	told "waits for its next start, which keeps it as uncommitted-TIME; 'revertctl commit d.img' makes it the disk's content now, 'revertctl reset d.img' throws it away"
	ctl 'commit d.img'
	nothing_is_told
	reads 2
}
promise "what waits to be kept is told by the log, the status and the doctor, with commands that work" armed_waits

edited_waits() {
	anew
	prepare
	guest 2
	json true
	wait_until 10 kept edited
	host_crashes
	logged "bytes, waits for its next start, which keeps it as uncommitted-TIME where one-shot-commit is true, and else throws it away; "
	told "which keeps it as uncommitted-TIME where one-shot-commit is true, and else throws it away; 'revertctl commit d.img' "
	ctl 'set d.img leftover=keep'
	told "which keeps it as uncommitted-TIME where one-shot-commit is true, and else keeps it as crash-TIME; 'revertctl commit d.img' "
	ctl 'reset d.img'
	nothing_is_told
	reads 1
}
promise "... of a file that was edited, what it depends on" edited_waits

unsynced_waits() {
	edited_right_before true
	told "which keeps it as unsynced-TIME where one-shot-commit is true, and else throws it away; 'revertctl reset d.img' throws it away now"
	refuses grep -F "'revertctl commit d.img'" "$MNT/.revertfs/status"
	ctl_fails EBUSY 'commit d.img' 'never synced'
	ctl 'reset d.img'
	nothing_is_told
	edited_right_before true tear
	told "moves it to lost/ where one-shot-commit is true, for qemu-img finds errors in it, and else throws it away; 'revertctl reset d.img'"
	prepare
	nothing_is_told
}
promise "... and of what was never synced no commit is offered, which would be refused" unsynced_waits
