#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A chain of layers does not grow unnoticed: from max-layers on commits warn and everybody is told what keeps the layers from being
# folded; beyond twice that no session begins that would add one. Other sessions begin, and nobody waits for a fold.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

make_image a.qcow2 qcow2 8M 1
start_daemon -o max-layers=3 || fail "the daemon starts"
ctl "protect a.qcow2" >&2 || fail "a disk is protected"
UUID=00000000-0000-4000-8000-000000000001

commit() {
	guest_write a.qcow2 "$1"M 64k "$2"
	ctl "commit a.qcow2"
}

prepare() {
	ctl "prepare $UUID domain=d $MNT/a.qcow2 target=vda armed=$1"
}

release() {
	ctl "release $UUID domain=d reason=shutdown vda source=$MNT/a.qcow2 armed=$1"
}

from_max_layers_on() {
	local n
	ctl "set a.qcow2 keep-revisions=100"
	for n in 1 2; do same "$(commit "$n" "$n" | jq .warning)" null; done
	commit 3 3 | jq -r .warning | grep "'a.qcow2' has 3 layers above its image (max-layers is 3): keep-revisions keeps them"
	same "$(status_of a.qcow2 '"\(.depth) \(.warning | contains("keep-revisions"))"')" "3 true"
	grep -q "warning: disk 'a.qcow2' has 3 layers" "$MNT/.revertfs/status"
	grep -q "disk 'a.qcow2' has 3 layers above its image" "$DAEMON_LOG"
	guest_write a.qcow2 4M 64k 4
	ctl "snapshot a.qcow2 four" | jq -r .warning | grep "has 4 layers"
}
promise "from max-layers on a commit warns, and answer, log and status say why" from_max_layers_on

armed_sessions_are_refused() {
	commit 5 5
	commit 6 6
	same "$(status_of a.qcow2 .depth)" 6
	prepare yes
	guest_write a.qcow2 7M 64k 7
	release yes | jq -r '.disks[0].warning' | grep "has 7 layers"
	same "$(status_of a.qcow2 .depth)" 7
	ctl_fails EBUSY "prepare $UUID domain=d $MNT/a.qcow2 target=vda armed=yes" "no session that is to be committed begins"
	prepare no
	release no
}
promise "with more than twice as many no armed session begins, others do" armed_sessions_are_refused

the_reasons() {
	ctl "set a.qcow2 keep-revisions=0"
	# What stands on the snapshot stays; below it all is folded.
	ctl 'fold a.qcow2' | jq -e '.waits_for | contains("four")'
	same "$(status_of a.qcow2 '"\(.depth) \(.warning)"')" "1 null"
	status_of a.qcow2 .waits_for | grep "as long as 'a.qcow2' has the snapshot 'four'"
	ctl "delete a.qcow2 four"
	ctl "fold a.qcow2"
	same "$(status_of a.qcow2 '"\(.depth) \(.waits_for) \(.job)"')" "0 null null"
	prepare yes
	guest_write a.qcow2 0 64k 8
	release yes
	ctl "fold a.qcow2"
	image_reads a.qcow2 qcow2 0 64k 8
	image_reads a.qcow2 qcow2 7M 64k 7
}
promise "what keeps the layers is named; when it is gone they are folded, and sessions begin" the_reasons

has_it_open() {
	[[ $(readlink "/proc/$1/fd/8") == */images/a.qcow2 ]]
}

an_open_disk() {
	local n reader
	sleep 1000 8<"$MNT/.revertfs/images/a.qcow2" &
	reader=$!
	wait_until 10 has_it_open $reader
	for n in 1 2 3; do commit "$n" 9 >"$WORK/answer"; done
	jq -r .warning "$WORK/answer" | grep "somebody reads layer"
	status_of a.qcow2 .job.waits_for | grep "somebody reads layer"
	ctl "cancel a.qcow2"
	status_of a.qcow2 .warning | grep "the fold was cancelled"
	# The news of its death would interrupt the fold's wait.
	kill $reader
	wait $reader || true
	ctl "fold a.qcow2"
	same "$(status_of a.qcow2 .depth)" 0
}
promise "... a reader, a cancel" an_open_disk
