#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Clones cost next to nothing, see the head that they should, whatever their template does meanwhile, and keep what they need;
# shellcheck disable=SC2010,SC2012,SC2016,SC2086 # names and numbers of our own making; eval expands when it is called
# a full clone is an image of its own, or nothing.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

COUNT=200 IN_SESSION=50
make_image gold.qcow2 qcow2 64M 1
make_image small.raw raw 8M 5
chown 1234:1235 "$IMAGES/small.raw" && chmod 640 "$IMAGES/small.raw"
start_daemon || fail "the daemon starts"
ctl "protect gold.qcow2" >&2 && ctl "protect small.raw" >&2 || fail "two disks are protected"

allocated() {
	du -s -B1 "$STATE" | cut -f 1
}

uuid() {
	printf '00000000-0000-4000-8000-%012d' "$1"
}

# prepare N, release N: the domain of clone N.
prepare() {
	ctl "prepare $(uuid "$1") domain=d$1 $MNT/c$1.qcow2 target=vda" >&2
}

release() {
	ctl "release $(uuid "$1") domain=d$1 reason=shutdown vda source=$MNT/c$1.qcow2" >&2
}

# A '%' takes three bytes in the name of the clone's directory.
clone_refusals() {
	local long
	long=$(printf '%%%.0s' {1..100})
	ctl_fails ENAMETOOLONG "clone gold.qcow2 $long" "File name too long"
	ctl_fails ENOENT "clone gold.qcow2 x point=none" "no snapshot"
	ctl "clone gold.qcow2 taken.qcow2" >&2
	ctl_fails EEXIST "clone small.raw taken.qcow2" "a disk already"
	guest_reads taken.qcow2 0 64k 1
	rm "$MNT/taken.qcow2"
	same "$(ls "$STATE/disks")" $'gold.qcow2\nsmall.raw'
}
promise "a clone that cannot be made is refused with the errno of the step that failed, and leaves nothing" clone_refusals

# Reads of many clones in one process each would take long; the descriptor keeps a session's writer.
reads() {
	guest_reads "c$1.qcow2" 0 64k "$2"
}

made_in_a_loop() {
	local n before after started
	before=$(allocated)
	started=$(milliseconds)
	for ((n = 0; n < COUNT; n++)); do
		echo "clone gold.qcow2 c$n.qcow2" >"$MNT/.revertfs/control"
	done
	after=$(allocated)
	echo "$COUNT clones: $((($(milliseconds) - started) * 1000 / COUNT)) us and $(((after - before) / COUNT)) bytes each" >"$WORK/cost"
	same "$(status '[.disks[] | select(.template == "gold.qcow2")] | length')" $COUNT
	same "$(status_of gold.qcow2 .clones)" $COUNT
	same "$(ls "$MNT" | grep -c '^c[0-9]*.qcow2$')" $COUNT
	(((after - before) / COUNT < 65536))
	for n in 0 99 199; do
		reads $n 1
		check_scratch c$n.qcow2
	done
}
promise "$COUNT clones are made in a loop, and take next to no space" made_in_a_loop
cat "$WORK/cost" >&2
echo "ok it took: $(cat "$WORK/cost")"

in_sessions() {
	local n
	for ((n = 0; n < IN_SESSION; n++)); do prepare $n; done
	# A writer each, for as long as the file is there; opening and writing one byte at the end of the first cluster is no qcow2.
	for ((n = 0; n < IN_SESSION; n++)); do
		sleep 1000 8<>"$MNT/c$n.qcow2" &
		echo $! >>"$WORK/writers"
	done
	all_are_open() { same "$(status '[.disks[] | select(.template and .session.active and .open > 0)] | length')" $IN_SESSION; }
	wait_until 20 all_are_open
}
promise "$IN_SESSION of them are in sessions" in_sessions

committed_under_them() {
	local first second n
	guest_write gold.qcow2 0 64k 2
	first=$(ctl "commit gold.qcow2" | jq -r .layer)
	guest_write gold.qcow2 0 64k 3
	second=$(ctl "commit gold.qcow2" | jq -r .layer)
	same "$(status_of gold.qcow2 .head)" "$second"
	for n in 0 25 49; do
		reads $n 1
		same "$(status_of c$n.qcow2 .behind)" true
	done
	same "$(status_of gold.qcow2 '.clones_behind | length')" $IN_SESSION
	wait_until 60 eval 'status_of gold.qcow2 .waits_for | grep "and $((IN_SESSION - 1)) more begin at"'
	# Those that nobody uses have moved on by themselves, or do at their next start.
	prepare 100
	reads 100 3
	release 100
	echo "$first" >"$WORK/first"
}
promise "the template is committed twice meanwhile: who runs sees the old head, who starts the new one" committed_under_them

at_their_next_start() {
	local n pid
	for n in 0 1 2; do
		pid=$(sed -n "$((n + 1))p" "$WORK/writers")
		kill "$pid"
		release $n
		prepare $n
		reads $n 3
		same "$(status_of c$n.qcow2 .behind)" false
		release $n
	done
	reads 3 1
}
promise "... and takes it at its next start" at_their_next_start

a_bad_commit_undone() {
	local n
	ctl "set gold.qcow2 keep-revisions=2" >&2
	guest_write gold.qcow2 0 64k 66
	ctl "commit gold.qcow2" >&2
	prepare 4 || :
	prepare 101
	reads 101 66
	ctl "undo gold.qcow2" >&2
	prepare 102
	reads 102 3
	release 102
	reads 101 66
	release 101
	prepare 101
	reads 101 3
	release 101
	ctl "delete gold.qcow2 $(status_of gold.qcow2 '.layers[].names[]' | grep ^undone)" >&2
	for n in 150 199; do reads $n 3; done
}
promise "a bad commit of the template is undone: the clones come back to the good one" a_bad_commit_undone

what_they_need_stays() {
	ctl_fails EBUSY "unprotect gold.qcow2" "clone"
	refuses rm "$MNT/c10.qcow2"
	says "busy"
	refuses rm "$MNT/gold.qcow2"
	rm "$MNT/c120.qcow2"
	[[ ! -e $MNT/c120.qcow2 ]]
	same "$(status_of gold.qcow2 .clones)" $((COUNT - 1))
}
promise "a template with clones is not unprotected, a clone in use is not removed" what_they_need_stays

one_goes_its_own_way() {
	ctl "set c130.qcow2 keep-revisions=2" >&2
	guest_write c130.qcow2 1M 64k 7
	ctl "commit c130.qcow2" >&2
	same "$(status_of c130.qcow2 '"\(.follow) \(.behind)"')" "false false"
	guest_write c130.qcow2 1M 64k 8
	ctl "snapshot c130.qcow2 own" >&2
	guest_write gold.qcow2 0 64k 9
	ctl "commit gold.qcow2" >&2
	prepare 130
	reads 130 3
	guest_reads c130.qcow2 1M 64k 8
	release 130
	ctl "undo c130.qcow2" >&2
	guest_reads c130.qcow2 1M 64k 7
	same "$(status_of gold.qcow2 '[.layers[].names[]] | length')" 0
	ctl "clone gold.qcow2 still.qcow2 follow=no" >&2
	guest_write gold.qcow2 0 64k 10
	ctl "commit gold.qcow2" >&2
	ctl "reset still.qcow2" >&2
	guest_reads still.qcow2 0 64k 9
}
promise "a clone that commits follows no more, and keeps its own layers" one_goes_its_own_way

when_all_are_gone() {
	local n pid
	while read -r pid; do kill "$pid" 2>/dev/null || :; done <"$WORK/writers"
	for ((n = 0; n < IN_SESSION; n++)); do release $n || :; done
	for ((n = 0; n < COUNT; n++)); do [[ ! -e $MNT/c$n.qcow2 ]] || rm "$MNT/c$n.qcow2"; done
	rm "$MNT/still.qcow2"
	ctl "set gold.qcow2 keep-revisions=0" >&2
	ctl "fold gold.qcow2" >&2
	same "$(status_of gold.qcow2 '"\(.layers | length) \(.clones) \(.job)"')" "1 0 null"
	image_reads gold.qcow2 qcow2 0 64k 10
	qemu-img check -q "$IMAGES/gold.qcow2" >&2
	same "$(ls "$STATE/disks" | wc -l)" 2
	ctl "unprotect gold.qcow2" >&2
	ctl "protect gold.qcow2" >&2
}
promise "with the last clone gone the template's commits are folded, and nothing is left" when_all_are_gone

# ---- full clones

full_clones() {
	guest_write small.raw 1M 64k 6
	ctl "snapshot small.raw point" >&2
	guest_write small.raw 1M 64k 7
	ctl "commit small.raw" >&2
	ctl "clone small.raw full.raw full=yes" >&2
	same "$(status_of full.raw '"\(.template) \(.format) \(.virtual_size) \(.layers | length) \(.state)"')" "null raw 8388608 1 pristine"
	guest_reads full.raw 1M 64k 7
	guest_reads full.raw 0 1M 5
	same "$(stat -c '%u:%g %a' "$IMAGES/full.raw")" "1234:1235 640"
	ctl "clone small.raw full.qcow2 full=yes format=qcow2 point=point" >&2
	guest_reads full.qcow2 1M 64k 6
	same "$(qemu-img info --output=json "$IMAGES/full.qcow2" | jq -r '"\(.format) \(."backing-filename")"')" "qcow2 null"
	guest_write full.qcow2 0 64k 8
	ctl "commit full.qcow2" >&2
	ctl "fold full.qcow2" >&2
	image_reads full.qcow2 qcow2 0 64k 8
	guest_reads small.raw 0 64k 5
	ctl "unprotect full.raw" >&2
	mkdir "$MNT/sub"
	ctl "clone small.raw sub/full.raw full=yes" >&2
	guest_reads sub/full.raw 1M 64k 7
	same "$(find "$IMAGES" -name '.revertfs?*')" ""
	same "$(ls "$STATE/makings")" ""
}
promise "a full clone is an independent image with its template's owner and mode, protected at once" full_clones

full_clone_refusals() {
	ctl_fails EEXIST "clone small.raw full.raw full=yes"
	ctl_fails EEXIST "clone small.raw full.qcow2 full=yes"
	ctl_fails ENOENT "clone small.raw none/x full=yes"
	ctl_fails EINVAL "clone small.raw ../x full=yes"
	ctl_fails EINVAL "clone small.raw x full=yes follow=yes"
	ctl_fails EINVAL "clone small.raw x format=raw"
	ctl_fails EINVAL "clone small.raw x full=yes format=vdi"
	ctl_fails ENOENT "clone small.raw x full=yes point=none"
	ctl_fails ENOENT "clone none x full=yes"
	[[ ! -e $MNT/x ]]
}
promise "... and is refused in a sentence where it cannot be" full_clone_refusals

make_image big.raw raw 64M
head -c 48M /dev/urandom >"$WORK/random"
ctl "protect big.raw" >&2
qemu_io -f qcow2 -c "write -q -s $WORK/random 0 48M" "$MNT/big.raw"
ctl "commit big.raw" >&2

job_runs() {
	same "$(status_of "$1" '.job.state')" running
}

full_clone_in_the_background() {
	ctl "clone big.raw slow.raw full=yes rate=1M wait=no" >&2
	wait_until 10 job_runs big.raw
	same "$(status_of big.raw '"\(.job.kind) \(.job.to)"')" "clone slow.raw"
	ctl_fails EEXIST "clone big.raw slow.raw full=yes" "being made"
	ctl_fails EEXIST "clone big.raw slow.raw" "being made"
	[[ ! -e $MNT/slow.raw ]]
	ctl "cancel big.raw" >&2
	same "$(find "$IMAGES" -name '.revertfs?*'; ls "$STATE/makings")" ""
	ctl "clone big.raw slow.raw full=yes rate=1M wait=no" >&2
	wait_until 10 compgen -G "$IMAGES/.revertfs-*"
	kill_daemon
	start_daemon
	wait_until 10 eval '[[ -z $(find "$IMAGES" -name ".revertfs?*"; ls "$STATE/makings") ]]'
	[[ ! -e $MNT/slow.raw && ! -e $IMAGES/slow.raw ]]
	ctl "clone big.raw slow.raw full=yes" >&2
	head -c 48M "$IMAGES/slow.raw" | cmp - "$WORK/random"
}
promise "in the background it shows how far it is; cancelled or killed it leaves nothing" full_clone_in_the_background

its_name_is_taken_meanwhile() {
	ctl "clone big.raw late.raw full=yes rate=5M wait=no" >&2
	wait_until 10 job_runs big.raw
	echo mine >"$MNT/late.raw"
	wait_until 60 job_is_done big.raw
	same "$(cat "$MNT/late.raw")" mine
	status_of big.raw .last_error | grep -q "File exists"
	same "$(find "$IMAGES" -name '.revertfs?*'; ls "$STATE/makings")" ""
}
promise "a file that got its name meanwhile is not overwritten" its_name_is_taken_meanwhile
