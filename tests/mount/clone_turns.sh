#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A clone takes its template's new head while the template leaves it again, and the head's only snapshot is deleted: the layer stays as
# long as the clone may stand on it, and no longer.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image gold.img raw 4M 1

is_held() {
	grep -q ': here$' "$TRACE"
}

layers() {
	find "$STATE/layers" -name '*.json' -printf '%f\n'
}

only_the_image_is_left() {
	same "$(layers)" "$(status_of gold.img .head).json"
}

# The clone is about to record a layer as its head, which by now nothing else needs.
left_while_it_is_taken() {
	local layer undone
	: >"$TRACE"
	plan hold 1 "write $STATE/disks/lab.img disk.json"
	guest_write gold.img 0 64k 2
	layer=$(ctl 'commit gold.img' | jq -r .layer)
	wait_until 20 is_held
	undone=$(ctl 'undo gold.img' | jq -r .point)
	ctl "delete gold.img $undone"
	[[ -e $STATE/layers/$layer.json && -e $STATE/layers/$layer.qcow2 ]]
}

taken() {
	left_while_it_is_taken
	heal
	# It goes on to where the template is now.
	wait_until 20 only_the_image_is_left
	same "$(status_of lab.img '"\(.state) \(.behind)"')" "pristine false"
	guest_reads lab.img 0 4M 1
}

not_taken() {
	left_while_it_is_taken
	plan fail 1 EIO "write $STATE/disks/lab.img disk.json"
	wait_until 20 only_the_image_is_left
	heal
	guest_reads lab.img 0 4M 1
	restart_daemon
	same "$(status_of lab.img '"\(.state) \(.behind)"')" "pristine false"
	guest_reads lab.img 0 4M 1
}

start_faulty && ctl 'protect gold.img' >&2 && ctl 'set gold.img keep-revisions=9' >&2 && ctl 'clone gold.img lab.img' >&2 ||
	fail "a template and its clone"
promise "a layer that a clone is taking as its head is not removed" taken
promise "... and is removed where the clone cannot take it" not_taken
