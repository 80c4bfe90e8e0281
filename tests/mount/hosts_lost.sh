#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The lock on a state directory that other hosts see is lost at any step of a commit and its fold: no record changes from then on but
# the one that was being replaced, the disk is old or new, and the next daemon goes on from there.
. "$TESTLIB"
DISK=1 . "$TESTS/fault/lib.sh"

# shellcheck disable=SC2034 # for lib.sh
HOW="kill" STATE=$WORK/shared/state
shared_filesystem || fail "a filesystem that hosts share"

make_image d.img raw 4M 1
cp "$IMAGES/d.img" "$WORK/before.raw"
model after before "write -q -P 2 1M 512k"

commit_and_fold() {
	ctl 'commit d.img' && ctl 'fold d.img'
}

held() {
	grep -q ': here$' "$TRACE"
}

held_or_done() {
	held || [[ -e $WORK/ended ]]
}

# records: what they hold, one a line.
records() {
	find "$WORK/server/state" -name '*.json' -exec sha256sum {} + | sort
}

# changed FILE FILE: how many records differ.
changed() {
	comm -3 "$1" "$2" | awk '{ print $2 }' | sort -u | wc -l
}

# One try: at the Nth step the lock goes. $WORK/struck is there unless there are not that many steps.
lost_at() {
	! daemon_runs || kill_daemon
	heal
	put_setup_back
	rm -f "$TRACE" "$WORK/ended" "$WORK/struck"
	start_faulty
	guest_write d.img 1M 512k 2
	plan hold "$1"
	{ commit_and_fold >"$WORK/answer" 2>&1 || :; touch "$WORK/ended"; } &
	wait_until 20 held_or_done
	held || { heal; wait_until 20 test -e "$WORK/ended"; return 0; }
	touch "$WORK/struck" "$WORK/told/lost"
	records >"$WORK/records.lost"
	heal
	wait_until 30 test -e "$WORK/ended"
	records >"$WORK/records.now"
	(($(changed "$WORK/records.lost" "$WORK/records.now") <= 1)) || { comm -3 "$WORK/records.lost" "$WORK/records.now" >&2; return 1; }
	ctl_fails ESTALE 'reset d.img' "is lost"
	kill_daemon
	rm "$WORK/told/lost"
}

lost_at_each() {
	local n struck=0 found
	trap 'where_it_broke "$BASH_COMMAND"; echo "after step $n: $(tail -n 1 "$TRACE")" >&2' ERR
	# Half as many as elsewhere: each takes as long as two.
	for ((n = 1 + RANDOM % STRIDE; ; n += 2 * STRIDE - 1)); do
		lost_at "$n"
		[[ -e $WORK/struck ]] || break
		struck=$((struck + 1))
		start_daemon
		is_sound d.img
		same "$(which d.img before after)" after
		ctl 'reset d.img'
		found=$(which d.img before after)
		[[ $found != mixture ]]
		guest_write d.img 1M 512k 2
		commit_and_fold
		image_is d.img raw after
		is_mended
		stop_daemon
	done
	((struck > 2))
}

start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null || fail "the image can be protected"
keep_setup
promise "lost at any step of a commit and its fold, nothing but the record in hand changes, and the disk is old or new" lost_at_each
