# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the tests that attack a running daemon: . "$TESTS/hostile/lib.sh" behind . "$TESTLIB". Each attack is played as
# the attacker's uid, never as root: what root could do anyhow proves nothing.
need_fuse
need jq qemu-img qemu-io setpriv python3

# Uids that no host gives to anybody. The group is the one that start_attacked names as `group=`.
MEMBER=64001 USER_A=64002 USER_B=64003 CONTROL_GROUP=games
OUT=$WORK/out      # an export directory that anybody may write to
PRIVATE=$WORK/root # root's alone
mkdir -p "$OUT" "$PRIVATE" "$IMAGES/u"
chmod 1777 "$OUT"
chmod 700 "$PRIVATE"
chown "$USER_A:$USER_A" "$IMAGES/u"

# as_member COMMAND...: a member of the control group. as_user COMMAND...: nobody special, who owns $IMAGES/u.
# as_other COMMAND...: nobody special, who owns nothing.
as_member() {
	setpriv --reuid "$MEMBER" --regid "$MEMBER" --groups "$CONTROL_GROUP" -- "$@"
}

as_user() {
	setpriv --reuid "$USER_A" --regid "$USER_A" --clear-groups -- "$@"
}

as_other() {
	setpriv --reuid "$USER_B" --regid "$USER_B" --clear-groups -- "$@"
}

# start_attacked [OPTION...]: the daemon with a control group and an export directory; $START (default start_daemon)
# says how it is started.
start_attacked() {
	"${START:-start_daemon}" -o group="$CONTROL_GROUP" -o export-dirs="$OUT" "$@" || fail "the daemon starts"
}

# member_ctl 'COMMAND': as ctl, but asked by a member of the control group.
member_ctl() {
	# shellcheck disable=SC2016 # the member's shell expands it
	as_member bash -c '
		exec {control}<>"$1" || exit
		wrote=0
		printf "%s\n" "$2" 1>&"$control" 2>/dev/null || wrote=$?
		cat <&"$control"
		exit "$wrote"' member_ctl "$MNT/.revertfs/control" "$1"
}

# member_ctl_fails ERRNO 'COMMAND' [WORDS]
member_ctl_fails() {
	local answer
	if answer=$(member_ctl "$2"); then
		echo "'$2' was not refused: $answer" >&2
		return 1
	fi
	jq -e --arg e "$1" --arg w "${3:-}" '.ok == false and .errno == $e and (.error | contains($w))' <<<"$answer" >/dev/null ||
		{ echo "'$2' answered $answer, not $1 ${3:-}" >&2; return 1; }
}
