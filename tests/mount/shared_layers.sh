#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks that share layers, a template and its clones, neither fold the same files at once nor keep a fold from running once they have
# let go.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

# A qemu-img whose commits say that they begin and end, and wait in between while $WORK/hold is there. In a box it
# could write nothing down.
cat >"$WORK/watched-img" <<SLOW
#!/bin/bash
[[ \$1 == commit ]] || exec $(command -v qemu-img) "\$@"
echo begin >>$WORK/commits
while [[ -e $WORK/hold ]]; do sleep 0.02; done
$(command -v qemu-img) "\$@"
r=\$?
echo end >>$WORK/commits
exit \$r
SLOW
chmod +x "$WORK/watched-img"

make_image gold.raw raw 8M 1
start_daemon -o qemu-img="$WORK/watched-img" -o unboxed=yes || fail "the daemon starts"
ctl "protect gold.raw" >&2 || fail "a disk is protected"

commit() {
	guest_write "$1" "$2" 64k "$3"
	ctl "commit $1"
}

layers() {
	status_of "$1" '.layers | length'
}

is_folded() {
	same "$(layers gold.raw) $(status_of gold.raw .job)" "1 null"
}

has_begun() {
	same "$(grep -c begin "$WORK/commits")" "$1"
}

is_refused_its_turn() {
	status_of lab.qcow2 .job.waits_for | grep "disk 'gold.raw' is folding layers that both stand on"
}

one_at_a_time() {
	touch "$WORK/hold"
	commit gold.raw 1M 2
	wait_until 10 has_begun 1
	# The fold gives way to this, and begins again.
	ctl "clone gold.raw lab.qcow2 follow=no"
	wait_until 10 has_begun 2
	# The commit is held, so that this fold is at work until it is let go: another disk of the same layers is told to fold them too.
	ctl "fold lab.qcow2 wait=no"
	wait_until 10 is_refused_its_turn
	rm "$WORK/hold"
	wait_until 20 is_folded
	same "$(tr '\n' ' ' <"$WORK/commits")" "begin begin end "
	same "$(status_of lab.qcow2 '"\(.layers | length) \(.head)"')" "1 $(status_of gold.raw .head)"
	image_reads gold.raw raw 1M 64k 2
	guest_reads lab.qcow2 1M 64k 2
}
promise "layers that two disks stand on are folded by one of them at a time" one_at_a_time
rm -f "$WORK/hold"

a_clone_is_removed() {
	commit gold.raw 2M 3
	ctl "fold gold.raw" | jq -r .waits_for | grep "'lab.qcow2' begins at what it stands on"
	same "$(status_of gold.raw .job)" null
	rm "$MNT/lab.qcow2"
	wait_until 20 is_folded
	image_reads gold.raw raw 2M 64k 3
}
promise "a commit that a clone has kept is folded when the clone is removed" a_clone_is_removed

the_clone_and_its_snapshot() {
	ctl "clone gold.raw lab.qcow2 follow=no"
	ctl "snapshot lab.qcow2 before"
	commit gold.raw 3M 4
	ctl "fold gold.raw" | jq -r .waits_for | grep "'lab.qcow2' has the snapshot 'before'"
	rm "$MNT/lab.qcow2"
	wait_until 20 is_folded
	image_reads gold.raw raw 3M 64k 4
}
promise "... and so is one that its snapshot has kept" the_clone_and_its_snapshot

has_layers() {
	same "$(layers "$1")" "$2"
}

a_snapshot_of_a_clone() {
	ctl "set gold.raw keep-revisions=1"
	commit gold.raw 5M 6
	ctl "clone gold.raw lab.qcow2"
	ctl "snapshot lab.qcow2 mark"
	ctl "set gold.raw keep-revisions=0"
	commit gold.raw 6M 7
	ctl "reset lab.qcow2"
	guest_reads lab.qcow2 6M 64k 7
	# The first commit may be folded, the second may not: the clone's name is on what it stands on.
	wait_until 20 has_layers gold.raw 2
	status_of gold.raw .waits_for | grep "'lab.qcow2' has the snapshot 'mark'"
	ctl "delete lab.qcow2 mark"
	wait_until 20 is_folded
	guest_reads lab.qcow2 6M 64k 7
	rm "$MNT/lab.qcow2"
}
promise "a snapshot that a clone deletes lets its template's commit be folded" a_snapshot_of_a_clone

prepare() {
	ctl "prepare 00000000-0000-4000-8000-000000000001 domain=d $MNT/$1 target=vda"
}

release() {
	ctl "release 00000000-0000-4000-8000-000000000001 domain=d reason=shutdown vda source=$MNT/$1"
}

a_session_that_wrote_nothing() {
	ctl "clone gold.raw lab.qcow2"
	prepare lab.qcow2
	commit gold.raw 4M 5
	status_of gold.raw .waits_for | grep "'lab.qcow2'"
	release lab.qcow2
	wait_until 20 is_folded
	same "$(status_of lab.qcow2 '"\(.behind) \(.layers | length)"')" "false 1"
	guest_reads lab.qcow2 4M 64k 5
	rm "$MNT/lab.qcow2"
}
promise "... and so does a clone whose session ends, though it wrote nothing" a_session_that_wrote_nothing

a_head_that_moves_away() {
	commit gold.raw 1M 8
	wait_until 20 is_folded
	guest_write gold.raw 1M 64k 9
	ctl "snapshot gold.raw later live=yes"
	ctl "reset gold.raw"
	same "$(layers gold.raw)" 2
	ctl "revert gold.raw later"
	wait_until 20 is_folded
	guest_reads gold.raw 1M 64k 9
	image_reads gold.raw raw 1M 64k 9
}
promise "a revert to what stands on the head lets that be folded" a_head_that_moves_away

a_larger_clone() {
	ctl "clone gold.raw lab.qcow2"
	ctl "set lab.qcow2 size=16M"
	same "$(status_of lab.qcow2 '"\(.follow) \(.virtual_size)"')" "false $((16 << 20))"
	ctl "reset lab.qcow2"
	same "$(status_of lab.qcow2 .virtual_size)" $((16 << 20))
	guest_reads lab.qcow2 8M 8M 0
	same "$(status_of gold.raw .virtual_size)" $((8 << 20))
}
promise "a clone that was grown has a layer of its own, and keeps its size" a_larger_clone

# Each in a process of its own, so that they come at the same time.
named_by_many() {
	local n waiting=()
	for n in {1..20}; do ctl "clone gold.raw many$n.qcow2 follow=no"; done
	for n in {1..20}; do
		ctl "snapshot many$n.qcow2 mine" >"$WORK/answer$n" &
		waiting+=($!)
	done
	wait "${waiting[@]}"
	same "$(status '[.disks[].layers[] | select(.names == ["mine"])] | length')" 20
	restart_daemon
	same "$(status '[.disks[].layers[] | select(.names == ["mine"])] | length')" 20
	for n in {1..20}; do rm "$MNT/many$n.qcow2"; done
	same "$(grep -l '"mine"' "$STATE"/layers/*.json)" ""
}
promise "names that many disks give one layer at once are all kept" named_by_many
