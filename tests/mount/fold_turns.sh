#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold that has copied its layer gives what stands on it another parent; whoever deletes one of these meanwhile waits, and neither
# brings the other's layer back. Whoever commits waits, too; and fold for clones that are moved on.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image gold.img raw 4M 1

# installed (image) <- below <- middle <- top, and top is known to the clone alone, by its name; no head stands on any of them.
a_branch() {
	ctl 'protect gold.img'
	ctl 'snapshot gold.img installed'
	guest_write gold.img 0 64k 2
	ctl 'snapshot gold.img below'
	guest_write gold.img 1M 64k 3
	ctl 'snapshot gold.img middle'
	ctl 'clone gold.img lab.img follow=no'
	guest_write lab.img 2M 64k 4
	ctl 'snapshot lab.img top'
	ctl 'undo lab.img'
	ctl 'undo lab.img'
	ctl 'undo lab.img'
	ctl 'revert gold.img installed'
	ctl 'delete gold.img below'
}

layer_of() {
	status_of "$1" ".layers[] | select(.names | index(\"$2\")) | .id"
}

is_held() {
	grep -q ': here$' "$TRACE"
}

is_deleted() {
	[[ -s $WORK/deleted ]]
}

branch_is_gone() {
	same "$(status_of lab.img '"\(.layers | length) \(.job)"')" "1 null"
}

deleted_while_it_moves() {
	local top
	a_branch
	top=$(layer_of lab.img top)
	plan hold 1 "write $STATE/layers $top.json"
	ctl 'delete gold.img middle'
	wait_until 20 is_held
	ctl 'delete lab.img top' >"$WORK/deleted" &
	# It must not come to that; where it does, the fold would write the record of a layer that is gone.
	if wait_until 1 is_deleted; then echo "deleted while the fold had it" >&2; fi
	heal
	wait $!
	jq -e .ok "$WORK/deleted"
	wait_until 20 branch_is_gone
	same "$(find "$STATE/layers" -name "*.qcow2" -o -name "$top*")" ""
	guest_reads lab.img 0 4M 1
	rm "$MNT/lab.img"
	restart_daemon
	same "$(status_of gold.img '"\(.layers | length) \(.state)"')" "1 pristine"
	same "$(ls "$STATE/lost")" ""
}
start_faulty || fail "the daemon starts"
promise "a snapshot deleted while a fold gives it another parent is gone for good" deleted_while_it_moves

is_answered() {
	[[ -s $WORK/answer ]]
}

# An idle clone that follows is about to leave what the commit stands on; without that nothing could be folded.
waits_for_a_follower() {
	stop_daemon
	start_faulty
	ctl 'delete gold.img installed'
	ctl 'clone gold.img lab.img'
	: >"$TRACE"
	: >"$WORK/answer"
	plan hold 1 "write $STATE/disks/lab.img disk.json"
	guest_write gold.img 0 64k 6
	ctl 'commit gold.img'
	wait_until 20 is_held
	ctl 'fold gold.img' >"$WORK/answer" &
	if SLOW=1 wait_until 1 is_answered; then cat "$WORK/answer" >&2; return 1; fi
	heal
	wait $!
	same "$(<"$WORK/answer")" '{"ok":true}'
	same "$(status_of gold.img '.layers | length')" 1
	image_reads gold.img raw 0 64k 6
	guest_reads lab.img 0 64k 6
	rm "$MNT/lab.img"
}
promise "fold waits until an idle clone has been moved on, and then for the fold" waits_for_a_follower
stop_daemon

# ---- a fold was killed when the names had moved to the parent and the layer was still there: each of them has the name

deleted_from_both() {
	start_faulty
	exec 5<>"$IMAGES/gold.img" # so that the fold waits
	guest_write gold.img 0 64k 7
	ctl 'commit gold.img'
	ctl 'snapshot gold.img twice'
	plan kill 1 "write $STATE/disks/gold.img disk.json"
	exec 5>&-
	refuses ctl 'fold gold.img'
	wait_for_daemon
	exec 5<>"$IMAGES/gold.img"
	start_daemon 5>&-
	same "$(status_of gold.img '[.layers[].names[]] | join(" ")')" "twice twice"
	ctl 'delete gold.img twice'
	same "$(status_of gold.img '[.layers[].names[]] | length')" 0
	exec 5>&-
	ctl 'fold gold.img'
	same "$(status_of gold.img '"\(.layers | length) \([.layers[].names[]] | length)"')" "1 0"
	guest_reads gold.img 0 64k 7
	stop_daemon
}
promise "a snapshot that is deleted after a fold was killed is gone from the layer and from its parent" deleted_from_both

# ---- a commit of nothing waits for a fold that replaces the scratch it found; both are cut short, and it is asked of the next daemon

nothing_is_committed() {
	guest_write gold.img 0 64k 5
	ctl 'snapshot gold.img soon-folded'
	: >"$TRACE"
	: >"$WORK/answer"
	plan hold 1 "write $STATE/disks/gold.img disk.json"
	ctl 'delete gold.img soon-folded'
	wait_until 20 is_held
	ctl 'commit gold.img' >"$WORK/answer" &
	if wait_until 1 is_answered; then echo "answered while the fold had the disk" >&2; return 1; fi
	plan kill 1 "unlink $STATE/layers"
	wait $!
	same "$(<"$WORK/answer")" '{"layer":null,"ok":true}'
	same "$(status .restarts)" 1
	wait_until 20 job_is_done gold.img
	same "$(status_of gold.img '"\(.layers | length) \(.state)"')" "1 pristine"
}
PROGRAM=$REVERTFS_FAULTS start_kept || fail "the keeper and its daemon start"
promise "a commit of nothing, asked of a second daemon, answers that it made no layer" nothing_is_committed
