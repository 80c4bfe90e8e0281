#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A daemon that is killed at any step of a prepare or a release of two disks leaves it to the next one, which goes on with what was
# decided: the answer is the one that is given without a kill, and so is what the disks are.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

UUID=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.img raw 2M 1
PROGRAM=$REVERTFS_FAULTS start_kept || fail "the keeper and its daemon start"
for disk in a.img b.img; do
	ctl "protect $disk" >/dev/null && ctl "set $disk keep-revisions=9" >/dev/null || fail "the images are disks"
done

# ask COMMAND: the answer is printed. As ctl, but without a process: there are hundreds of them.
ask() {
	local control answer
	exec {control}<>"$MNT/.revertfs/control"
	printf '%s\n' "$1" 1>&"$control" 2>/dev/null || : # refused: the answer says so
	read -r answer <&"$control"
	exec {control}>&-
	printf '%s\n' "$answer"
}

prepare() {
	ask "prepare $UUID domain=d $2 a.img target=vda source=/a $1 b.img target=vdb source=/b $1"
}

# release REASON [FLAG]
release() {
	ask "release $UUID domain=d reason=$1 vda source=/a ${2:-} vdb source=/b ${2:-}"
}

# ---- what comes before, and the commands

guests_run() {
	local name
	for name in a.img b.img; do guest_write $name 512k 64k 2; done
}

a_session() { prepare "" "" && guests_run; }
an_armed_session() { prepare armed=yes "" && guests_run; }
a_saved_guest() { a_session && release saved; }
a_resumed_guest() { a_saved_guest && prepare "" saved=yes && guests_run; }
one_that_is_undecided() { a_session && release migrated; }
one_that_was_armed() { an_armed_session && release migrated; }
commits() { release shutdown armed=yes; }
resets() { release shutdown; }
crashes() { release crashed armed=yes; }
is_saved() { release saved; }
is_kept() { release migrated; }
starts_armed() { prepare armed=yes ""; }
resumes() { prepare "" saved=yes; }
starts_afresh() { prepare "" ""; }

# What is known of both disks, but for ids and times.
seen() {
	status '[.disks[] | {name, state, kept, hold: (.hold != null), session: .session.domain,
		armed: .session.armed, names: [.layers[].names[]] | sort}] | sort_by(.name)'
}

# Names go, scratches are fresh, and what was committed is undone.
clean_up() {
	local disk name
	release shutdown
	for disk in a.img b.img; do
		ask "reset $disk force=yes"
		ask "undo $disk"
	done
	# shellcheck disable=SC2016 # of jq
	status '.disks[] | .name as $disk | .layers[].names[] | "\($disk) \(.)"' >"$WORK/names"
	while read -r disk name; do ask "delete $disk $name"; done <"$WORK/names"
}

# one_try BEFORE COMMAND PLAN: the answer, and what can be seen then, in $WORK/answer. $STRUCK: the daemon was killed.
one_try() {
	"$1" >"$WORK/before.out"
	STRUCK=
	[[ ! $3 ]] || plan "$3"
	"$2" >"$WORK/told"
	[[ ! $3 || -e $PLAN ]] || STRUCK=yes
	heal
	seen >>"$WORK/told"
	sed -E 's/[0-9]{8}T[0-9]{6}Z(-[0-9]+)?/TIME/g' "$WORK/told" >"$WORK/answer"
	clean_up >"$WORK/clean.out"
}

same_as_without_a_kill() {
	local before=$1 command=$2 n begin=$((RANDOM % STRIDE)) times=0 way
	one_try "$before" "$command" ""
	cp "$WORK/answer" "$WORK/expected"
	for ((n = 1 + begin; ; n += STRIDE)); do
		way=$( ((RANDOM % 2)) && echo kill || echo kill-after)
		one_try "$before" "$command" "$way $n"
		[[ $STRUCK ]] || break
		times=$((times + 1))
		diff "$WORK/expected" "$WORK/answer" >&2 || { echo "$way at step $n" >&2; return 1; }
	done
	((times))
}

promise "a release that commits is answered the same" same_as_without_a_kill an_armed_session commits
promise "... one that resets" same_as_without_a_kill a_session resets
promise "... one that seals aside" same_as_without_a_kill an_armed_session crashes
promise "... one that holds" same_as_without_a_kill a_session is_saved
promise "... one that holds what was resumed" same_as_without_a_kill a_resumed_guest is_saved
promise "... one that keeps" same_as_without_a_kill an_armed_session is_kept
promise "... a prepare that discards what was left, and arms the session" same_as_without_a_kill one_that_is_undecided starts_armed
promise "... one that seals aside what was left" same_as_without_a_kill one_that_was_armed starts_armed
promise "... one that resumes" same_as_without_a_kill a_saved_guest resumes
promise "... one that starts a saved guest afresh" same_as_without_a_kill a_saved_guest starts_afresh
