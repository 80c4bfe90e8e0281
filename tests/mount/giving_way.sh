#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A long fold is in nobody's way: whoever opens or commands a disk over the layers is answered within a second or so, and the fold is
# taken up again by itself, after a restart or a crash of the daemon too, until it is done.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=11111111-2222-3333-4444-555555555555
patience=$((4000 * ${SLOW:-1})) # milliseconds, on a busy machine
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
# A commit is slow as long as \$WORK/slow is there. In its box this can see whether a file is there, but not open it.
[[ \$1 == commit && -e $WORK/slow ]] || exec $real "\$@"
[[ -e $WORK/slower ]] && exec $real "\$@" -r 2000000
exec $real "\$@" -r 4000000
END
chmod +x "$WORK/qemu-img"

slow() {
	touch "$WORK/slow"
}

fast() {
	rm -f "$WORK/slow" "$WORK/slower"
}

make_image d.img raw 48M 1
make_image e.img raw 4M 1
start_daemon -o "qemu-img=$WORK/qemu-img" || fail "the daemon starts"
ctl 'protect d.img' >/dev/null && ctl 'protect e.img' >/dev/null || fail "the images can be protected"
pattern=1

# A commit of 24 MiB whose fold has begun and would take some seconds.
a_long_fold() {
	pattern=$(($(cat "$WORK/pattern" 2>/dev/null || echo 1) % 200 + 1))
	echo $pattern >"$WORK/pattern"
	slow
	guest_write d.img 8M 24M $pattern
	ctl 'commit d.img' >/dev/null
	wait_until 20 fold_runs
}

fold_runs() {
	[[ $(status_of d.img .job.state) == running ]] && (($(status_of d.img '.job.percent | floor') >= 2))
}

fold_waits() {
	[[ $(status_of d.img .job.state) == waiting ]]
}

# soon COMMAND...: it succeeds, within the time that people have.
soon() {
	local began
	began=$(milliseconds)
	"$@"
	began=$(($(milliseconds) - began))
	((began < patience)) || { echo "$* took $began ms" >&2; return 1; }
}

# What all this leads to: everything is in the image, which is whole.
folded() {
	fast
	wait_until 30 job_is_done d.img
	image_reads d.img raw 8M 24M "$(cat "$WORK/pattern")"
	image_reads d.img raw 0 8M 1
	image_reads d.img raw 32M 16M 1
	same "$(status_of d.img '.layers | length')" 1
}

progress() {
	local first
	a_long_fold
	first=$(status_of d.img .job.percent)
	wait_until 20 grows_beyond "$first"
	same "$(status_of d.img .job.kind)" fold
	same "$(status_of d.img .folding)" true
	grep -q '^d.img .*fold [0-9]*%' "$MNT/.revertfs/status"
	grep -q 'being folded: the image file alone is incomplete' "$MNT/.revertfs/status"
	folded
}

grows_beyond() {
	[[ $(status_of d.img "(.job.percent // 0) > $1 + 3") == true ]]
}
promise "a fold shows how far it is" progress

opened() {
	a_long_fold
	soon guest_reads d.img 8M 64k "$pattern"
	guest_reads d.img 0 64k 1
	folded
	a_long_fold
	soon guest_write d.img 40M 64k 7
	guest_reads d.img 8M 24M "$pattern"
	fast
	wait_until 30 job_is_done d.img # below a scratch with data
	guest_reads d.img 40M 64k 7
	ctl 'reset d.img'
	folded
}
promise "who opens the disk, to read or to write, is served soon, and the fold goes on when it is closed" opened

kept_open() {
	a_long_fold
	exec 9<"$MNT/d.img"
	wait_until 10 fold_waits
	ctl_fails EBUSY 'fold d.img' "is open; the fold goes on by itself when that has ended"
	exec 9<&-
	folded
}
promise "as long as somebody has the disk open, the fold waits and says for what" kept_open

commanded() {
	local command
	for command in 'reset d.img' 'set d.img leftover=keep' 'commit d.img' 'commit d.img at=release' \
		"prepare $uuid domain=a d.img target=vda leftover=discard"; do
		a_long_fold
		soon ctl "$command"
		guest_reads d.img 8M 64k "$pattern"
		[[ $command != prepare* ]] || ctl "release $uuid reason=destroyed vda"
		folded
	done
}
promise "a command on the disk, a domain's start among them, is answered soon" commanded

in_a_session() {
	a_long_fold
	soon ctl "prepare $uuid domain=a d.img target=vda"
	fast
	guest_write d.img 0 64k 9
	fold_waits
	ctl_fails EBUSY 'fold d.img' "is in a session; the fold goes on by itself when that has ended"
	same "$(status_of d.img .folding)" true
	guest_reads d.img 8M 24M "$pattern"
	ctl "release $uuid reason=shutdown vda"
	folded
}
promise "during a session the fold waits, and goes on when it has ended" in_a_session

another_disk() {
	touch "$WORK/slower"
	a_long_fold
	soon guest_write e.img 0 64k 2
	soon ctl 'reset e.img'
	fold_runs
	soon status '.disks | length'
	fold_runs
	folded
}
promise "work on another disk does not stop it" another_disk

not_undone() {
	a_long_fold
	ctl_fails EBUSY 'undo d.img' "is being folded into its parent and cannot be undone any more"
	ctl_fails EBUSY 'unprotect d.img' "layers that are not folded"
	folded
}
promise "what has begun to be folded cannot be undone" not_undone

named() {
	a_long_fold
	soon ctl 'snapshot d.img now'
	folded
	same "$(status_of d.img '.layers[].names[]')" now
	ctl 'delete d.img now'
}
promise "... but named: the snapshot is the image's when the fold has ended" named

cancelled() {
	a_long_fold
	soon ctl 'cancel d.img'
	same "$(status_of d.img .job)" null
	ctl_fails ENOENT 'cancel d.img' "has no job"
	guest_reads d.img 8M 24M "$pattern"
	# It does not begin again by itself, though others' folds do.
	fast
	guest_write e.img 0 64k 3
	ctl 'commit e.img'
	wait_until 20 job_is_done e.img
	same "$(status_of d.img .job)" null
	same "$(status_of d.img .folding)" true
	ctl 'fold d.img'
	folded
}
promise "cancel postpones a fold until the next fold or commit" cancelled

cancelled_for() {
	ctl 'cancel d.img'
	! kill -0 "$1"
}

# Beside another cancel at the same instant, too: that one is not about a fold that is asked for after it.
told_to_the_waiting() {
	local round cancelling waiting
	a_long_fold
	for ((round = 0; round < 5; round++)); do
		ctl 'cancel d.img' >"$WORK/cancelled" 2>&1 &
		cancelling=$!
		ctl 'fold d.img' >"$WORK/waiting" &
		waiting=$!
		wait_until 10 cancelled_for "$waiting"
		! wait $waiting
		wait $cancelling || : # so that it is not about the next fold
		jq -e '.errno == "EBUSY" and (.error | contains("was cancelled"))' "$WORK/waiting"
		ctl 'fold d.img wait=no'
		wait_until 20 fold_runs
	done
	ctl 'fold d.img' >"$WORK/waiting" &
	waiting=$!
	fast
	ctl 'set d.img leftover=discard' # makes it give way, and begin again without haste
	wait $waiting || jq -e '.errno == "EBUSY" and (.error | contains("gave way"))' "$WORK/waiting"
	folded
}
promise "who waits for a fold is told that it was cancelled or gave way" told_to_the_waiting

# The head is elsewhere, so that no claim is over the layers that are folded.
a_fold_beside_the_head() {
	fast
	ctl 'clone d.img c.img'
	ctl 'snapshot c.img base'
	ctl 'set c.img keep-revisions=9'
	guest_write c.img 0 64k 5
	ctl 'commit c.img'
	guest_write c.img 8M 24M 6
	ctl 'commit c.img'
	guest_write c.img 0 64k 7
	ctl 'snapshot c.img tip'
	slow
	ctl 'set c.img keep-revisions=0'
	ctl 'revert c.img base'
	side_fold_runs() { [[ $(status_of c.img .job.state) == running ]]; }
	wait_until 20 side_fold_runs
}

removed_meanwhile() {
	local layers
	layers=$(find "$STATE/layers" -name '*.json' | sort)
	a_fold_beside_the_head
	soon rm "$MNT/c.img"
	same "$(find "$STATE/layers" -name '*.json' | sort)" "$layers"
	restart_daemon
	! grep "which is not there" "$DAEMON_LOG"
	guest_reads d.img 8M 24M "$(cat "$WORK/pattern")"
	fast
}
promise "a clone is removed while a fold is at work on it, and nothing of it stays" removed_meanwhile

ended() {
	local options
	mapfile -t options <"$WORK/daemon.options"
	a_long_fold
	soon stop_daemon
	fast
	start_daemon "${options[@]}"
	guest_reads d.img 8M 24M "$pattern"
	folded
	a_long_fold
	kill_daemon
	wait_until 10 no_qemu_img
	fast
	start_daemon "${options[@]}"
	guest_reads d.img 8M 24M "$pattern"
	folded
}

no_qemu_img() {
	! pgrep -x qemu-img
}
promise "SIGTERM ends a fold soon, SIGKILL ends its qemu-img too; the next daemon goes on by itself" ended
stop_daemon || fail "the daemon ends"
