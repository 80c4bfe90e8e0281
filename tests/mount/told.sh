#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A commit, a snapshot, an undo or a revert whose daemon is killed is answered by the next one as if nothing had happened: it says what
# was sealed aside under which name, and warns. (crash_answers.sh: prepare and release)
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image d.img raw 1M 1
PROGRAM=$REVERTFS_FAULTS start_kept -o max-layers=3 || fail "the keeper and its daemon start"
ctl "protect d.img" >/dev/null || fail "the image can be protected"
ctl "set d.img keep-revisions=50" >/dev/null || fail "keep-revisions is set"
KILLS_EACH=$((8 * ${ROUNDS:-1}))

# What differs from one time to the next has no part in the comparison.
plainly() {
	jq -Sc 'del(.restarted, .copy_ms)' | sed -E 's/[0-9]{8}T[0-9]{6}Z(-[0-9]+)?/TIME/g; s/"[0-9a-f]{16}"/"ID"/g; s/has [0-9]+ layers/has N layers/'
}

# Each snapshot that an answer names is there.
names_are_there() {
	local name
	for name in $(jq -r '.aside, .point | select(.)' "$WORK/answer" 2>/dev/null); do
		status '.disks[].layers[].names[]' | grep -qx "$name"
	done
}

is_served() {
	[[ $(status .pid) ]]
}

# told SETUP COMMAND: undisturbed; then with a kill at a random step of the command, or right behind it, again and again.
told() {
	local setup=$1 command=$2 i expected how struck=0
	"$setup"
	ctl "$command" >"$WORK/answer"
	names_are_there
	expected=$(plainly <"$WORK/answer")
	for ((i = 0; i < KILLS_EACH; i++)); do
		"$setup"
		how=$( ((i % 2)) && echo kill || echo kill-after)
		: >"$TRACE"
		plan "$how" $((1 + RANDOM % (i % 4 < 2 ? 5 : 32)))
		ctl "$command" >"$WORK/answer"
		heal
		wait_until 20 is_served
		if was_hit; then struck=$((struck + 1)); fi
		same "$(plainly <"$WORK/answer")" "$expected" || { tail -n 1 "$TRACE" >&2; return 1; }
		names_are_there
	done
	((struck))
}

names_of() {
	status_of "$1" '.layers[].names[]'
}

# Back to the image, with nothing on it.
begins_anew() {
	local point
	for point in $(names_of d.img); do ctl "delete d.img $point"; done
	ctl "reset d.img"
	ctl "set d.img keep-revisions=0"
	ctl "fold d.img"
	ctl "set d.img keep-revisions=50"
}

writes() {
	guest_write d.img 0 4k "$1"
}

many_commits() {
	local i
	begins_anew
	for i in 2 3 4; do writes $i && ctl "commit d.img"; done
	writes 5
}

a_commit_and_changes() {
	begins_anew
	writes 2
	ctl "commit d.img"
	writes 3
}

a_snapshot_a_commit_and_changes() {
	begins_anew
	writes 2
	ctl "snapshot d.img one"
	writes 3
	ctl "commit d.img"
	writes 4
}

promise "a commit with a warning, under a kill" told many_commits "commit d.img"
promise "a snapshot with a warning, under a kill" told many_commits "snapshot d.img now"
promise "an undo that keeps two things aside, under a kill" told a_commit_and_changes "undo d.img"
promise "a revert that keeps two things aside, under a kill" told a_snapshot_a_commit_and_changes "revert d.img one"
promise "a revert that gives the changes up, under a kill" told a_snapshot_a_commit_and_changes "revert d.img one discard=yes"
