#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Under -d the log tells what is done to a disk step by step, in the words and the order of the lists at the top of seal.c and fold.c.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

UUID=00000000-0000-4000-8000-000000000001
make_image d.img raw 4M 1
start_daemon -d || fail "the daemon starts"
ctl 'protect d.img' >&2 || fail "the image can be protected"

# told_since LINE PATTERN: what the log says from there on about the disk, ids left out.
told_since() {
	tail -n "+$1" "$DAEMON_LOG" | grep -oE "(disk|job): $2 'd.img': .*" | sed -E 's/^(disk|job): //; s/[0-9a-f]{16}/ID/g'
}

log_length() {
	wc -l <"$DAEMON_LOG"
}

a_commit_and_its_fold() {
	local from
	from=$(log_length)
	guest_write d.img 1M 64k 2
	ctl 'commit d.img' >&2
	ctl 'fold d.img' >&2
	same "$(told_since "$from" '(seal|fold)')" "seal 'd.img': 1 header and tables checked, scratch synced
seal 'd.img': 2 linked as layer ID
seal 'd.img': 3 record of layer ID written
seal 'd.img': 4 disk.json written, head = ID
seal 'd.img': 5 fresh scratch on layer ID
fold 'd.img': 1 layer ID recorded as folding
fold 'd.img': 2 copied into ID
fold 'd.img': 3 parent synced and recorded
fold 'd.img': 4 children stand on the parent
fold 'd.img': 5 names moved to the parent
fold 'd.img': 6 heads, holds and scratches moved
fold 'd.img': 7 record and file removed"
}
promise "a commit and its fold, step by step" a_commit_and_its_fold

a_session() {
	local from
	from=$(log_length)
	ctl "prepare $UUID domain=d $MNT/d.img target=vda" >&2
	guest_write d.img 2M 64k 3
	ctl "release $UUID domain=d reason=shutdown vda source=$MNT/d.img" >&2
	same "$(told_since "$from" '(prepare|release)')" "prepare 'd.img': checked, it is fresh, its leftover is none
prepare 'd.img': fresh scratch on layer ID
prepare 'd.img': session of domain $UUID recorded
release 'd.img': the domain ended (shutdown), so it is reset
release 'd.img': fresh scratch on layer ID
release 'd.img': session ended"
}
promise "a session that ends in a reset: nothing is recorded in disk.json" a_session

a_reset() {
	local from
	from=$(log_length)
	guest_write d.img 2M 64k 3
	ctl 'reset d.img' >&2
	same "$(told_since "$from" reset)" "reset 'd.img': disk.json written
reset 'd.img': fresh scratch on layer ID"
}
promise "a reset of what was written without a session" a_reset
