#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Revert, delete and a live snapshot, each cut short at any step: the verb has been done or it has not, no change and no snapshot is
# lost, and the same command can be given again.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/history.sh"

revert() {
	ctl 'revert d.img one'
}

# The changes are in the scratch or in a snapshot of their own.
changes_are_kept() {
	local aside
	aside=$(points | grep '^before-revert-' || :)
	[[ $(which d.img three) == three || $aside ]]
	[[ ! $aside ]] || point_is "$aside" three
}

reverted_or_not() {
	local found
	the_others_are_there
	found=$(which d.img one two three)
	[[ $found == one || ($found != mixture && ! -e $WORK/done) ]]
	changes_are_kept
	revert
	same "$(which d.img one)" one
	changes_are_kept
	the_others_are_there
}
promise "revert cut short: the head is the old or the new one, and the changes are somewhere" \
	each_crash write_three revert reverted_or_not alternating

live() {
	ctl 'snapshot d.img now live=yes'
}

copied_or_not() {
	the_others_are_there
	same "$(which d.img three)" three
	has_point now || ! is_done
	has_point now || live
	point_is now three
	same "$(which d.img three)" three
	same "$(status_of d.img .state)" dirty
}
promise "a live snapshot cut short: it is whole, or there is none, and the scratch stays" each_crash write_three live copied_or_not kill power

# With its last name gone the middle layer is folded into by what stands on it.
delete() {
	ctl 'delete d.img one'
	ctl 'fold d.img'
}

deleted_or_not() {
	wait_until 20 job_is_done d.img
	is_mended
	untouched
	! has_point one || ! is_done
	! has_point one || point_is one one
	point_is two two
	same "$(which d.img two)" two
	! has_point one || delete
	wait_until 20 job_is_done d.img
	same "$(status_of d.img '.layers | length') $(points | sort | tr '\n' ' ')" "2 installed two "
	point_is two two
	is_sound d.img
}
# shellcheck disable=SC2034 # the folded layer's file, when the crash came between its record's end and its own
lost_is_fine=yes
promise "delete cut short: the snapshot is there or it is not, what stands on it reads the same" \
	each_crash nothing delete deleted_or_not alternating
