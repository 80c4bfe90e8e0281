#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A commit cut short at any step, by SIGKILL or by a loss of power, leaves the disk as it was before or after it, never a mixture;
# the next start mends what is left, and the commit can be done again.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
writes=("write -q -P 2 1M 512k" "write -q -P 3 3000k 7k" "write -q -z 2M 64k")
model after before "${writes[@]}"
model again after "write -q -P 4 100k 200k"

# Nothing is flushed: it is the commit that must sync.
a_guest_writes() {
	qemu_io -t unsafe -f qcow2 -c "${writes[0]}" -c "${writes[1]}" -c "${writes[2]}" "$MNT/d.img"
}

commit() {
	ctl 'commit d.img'
}

# A guest's writes outlive the daemon, committed or not; a reset shows what the head is.
old_or_new() {
	local found
	if [[ $HOW == kill* ]]; then
		is_sound d.img
		same "$(which d.img before after)" after
	fi
	image_is d.img raw before
	ctl 'reset d.img' >&2
	found=$(which d.img before after)
	[[ $found == after ]] || ! is_done || { echo "a commit that was answered was lost" >&2; return 1; }
	[[ $found != mixture ]] || { echo "a mixture" >&2; return 1; }
	is_sound d.img
	is_mended
	a_guest_writes
	guest_write d.img 100k 200k 4
	commit >&2
	ctl 'set d.img keep-revisions=0' >&2
	ctl 'fold d.img' >&2
	same "$(which d.img again)" again
	image_is d.img raw again
	is_mended
}

start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null && ctl 'set d.img keep-revisions=9' >/dev/null || fail "the image can be protected"
keep_setup
promise "SIGKILL before any step of a commit: old or new, and it can be done again" \
	each_crash a_guest_writes commit old_or_new kill
promise "power lost at any step of a commit, all that was not synced is gone" \
	each_crash a_guest_writes commit old_or_new power
promise "power lost at any step of a commit, some of what was not synced is there" \
	each_crash a_guest_writes commit old_or_new power:

# Scratches on another filesystem than the layers: a commit copies them, and a copy that was cut short goes to lost/.
a_guest_elsewhere() {
	ctl 'reset d.img' # whatever an earlier try left there
	a_guest_writes
}

! daemon_runs || kill_daemon
# shellcheck disable=SC2034 # for lib.sh
options=(-o "scratch=$WORK/scratches") lost_is_fine=yes
promise "SIGKILL at any step of a commit whose scratch lies on another filesystem" \
	each_crash a_guest_elsewhere commit old_or_new kill
