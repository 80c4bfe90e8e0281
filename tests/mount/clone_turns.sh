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

# left_while_it_is_taken STEP: the clone is at that step of recording a layer as its head, which by now nothing else needs.
left_while_it_is_taken() {
	local layer undone
	: >"$TRACE"
	plan hold 1 "$1"
	guest_write gold.img 0 64k 2
	layer=$(ctl 'commit gold.img' | jq -r .layer)
	wait_until 20 is_held
	undone=$(ctl 'undo gold.img' | jq -r .point)
	ctl "delete gold.img $undone"
	[[ -e $STATE/layers/$layer.json && -e $STATE/layers/$layer.qcow2 ]]
}

record="write $STATE/disks/lab.img disk.json" its_name="sync-directory $STATE/disks/lab.img"

taken() {
	left_while_it_is_taken "$record"
	heal
	# It goes on to where the template is now.
	wait_until 20 only_the_image_is_left
	same "$(status_of lab.img '"\(.state) \(.behind)"')" "pristine false"
	guest_reads lab.img 0 4M 1
}

begins_again() {
	heal
	kill_daemon
	start_faulty
	wait_until 20 only_the_image_is_left
	same "$(status_of lab.img '"\(.state) \(.behind)"')" "pristine false"
	guest_reads lab.img 0 4M 1
}

# The held step fails, and no other.
not_taken() {
	left_while_it_is_taken "$record"
	plan fail 99 EIO "$record"
	wait_until 20 only_the_image_is_left
	guest_reads lab.img 0 4M 1
	begins_again
}

# The new record is there, though it may not last.
taken_or_not() {
	left_while_it_is_taken "$its_name"
	plan fail 99 EIO "$its_name"
	wait_until 20 only_the_image_is_left
	guest_reads lab.img 0 4M 1
	begins_again
}

# The next after the one that was held.
another_has_failed() {
	grep -q ': failed$' "$TRACE"
}

# Nor is it known whether the old one is back.
nobody_knows() {
	left_while_it_is_taken "$its_name"
	plan fail 0 EIO "$its_name"
	wait_until 20 another_has_failed
	begins_again
}

start_faulty && ctl 'protect gold.img' >&2 && ctl 'set gold.img keep-revisions=9' >&2 && ctl 'clone gold.img lab.img' >&2 ||
	fail "a template and its clone"
promise "a layer that a clone is taking as its head is not removed" taken
promise "... and is removed where the clone cannot take it" not_taken
promise "... also where the clone's record was written, and could not be synced" taken_or_not
promise "... but stays for the next start where that may name it" nobody_knows
