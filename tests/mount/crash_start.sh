#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A daemon that is killed while it mends, at its start, what a killed daemon left: the next start goes on with that.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image a.img raw 2M 1
make_image b.img raw 2M 1

# A layer that nothing needs any more, of which only the record is to be removed.
a_layer_is_given_up() {
	start_faulty
	ctl 'protect a.img'
	ctl 'protect b.img'
	guest_write a.img 0 64k 2
	guest_write b.img 0 64k 3
	ctl 'snapshot b.img p'
	ctl 'snapshot a.img p'
	ctl 'undo a.img'
	plan kill 1 unlink "$STATE/layers"
	ctl 'delete a.img p' || :
	wait_until 20 daemon_is_gone
	umount -l "$MNT"
}

killed_at_the_next_start() {
	a_layer_is_given_up
	plan kill-after 1 "$STATE/lost"
	start_faulty || :
	wait_until 20 daemon_is_gone
	umount -l "$MNT" || :
	same "$(find "$STATE/lost" -name '*.qcow2' | wc -l)" 1
	start_daemon
	guest_reads a.img 0 64k 1
	guest_reads b.img 0 64k 3
	ctl 'delete b.img p'
	ctl 'fold b.img'
	same "$(status '[.disks[].layers[]] | length')" 2
	wait_until 20 layers_have_files
}
promise "a start that was killed when it had moved a layer to lost/ keeps no layer from being folded" killed_at_the_next_start
