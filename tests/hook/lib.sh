# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The hook alone: recorded domain XML (xml/README) on its stdin, and a fake daemon (tests/tools/fakedaemon.c) that
# answers, refuses, stalls or dies. . "$TESTS/hook/lib.sh" (which reads $TESTLIB too).
#
# The XML names files in /srv/vm, so /srv is a filesystem of the test's own. A fake called NAME is mounted on /srv/NAME, for
# the images directory /srv/NAME-images, and what it does is in $WORK/NAME.
. "$TESTLIB"

XML=$TESTS/hook/xml
CONFIG=$WORK/config LOG=$WORK/hooks.log SAVE=$WORK/save LIBVIRT=$WORK/libvirt POOLS=$WORK/pools
# shellcheck disable=SC2034 # for the tests
UUID=00000000-0000-4000-8000-000000000001
need_fuse
mkdir -p "$CONFIG" "$SAVE" "$LIBVIRT" "$POOLS"
# Mounts of the machine's own are not to be asked: out of sight, in this namespace alone.
findmnt -t fuse.revertfs -rno TARGET | while read -r point; do umount -l "$(printf '%b' "$point")"; done
mount -t tmpfs -o mode=755 tmpfs /srv || fail "/srv can be mounted over"

# start_fake NAME
start_fake() {
	mkdir -p "/srv/$1" "/srv/$1-images" "$WORK/$1"
	setsid "$BUILD/tools/fakedaemon" "$WORK/$1" -f -o "fsname=/srv/$1-images,subtype=revertfs" "/srv/$1" \
		</dev/null >>"$WORK/$1.log" 2>&1 &
	echo $! >"$WORK/$1.pid"
	wait_until 10 mountpoint -q "/srv/$1"
}

# From here on a write to the control file hangs, for good: no signal ends it.
stop_fake() {
	local pid
	pid=$(cat "$WORK/$1.pid")
	kill -STOP "$pid"
	# Each of its threads has to notice, and until then it answers.
	wait_until 10 all_stopped "$pid"
}

all_stopped() {
	! sed 's/.*) //' /proc/"$1"/task/*/stat | grep -v '^T'
}

# What the fake was told, a line each, without the quotes that no word needs. forget_lines NAME...: from now on.
lines() {
	[[ ! -e $WORK/$1/lines ]] || sed 's/"\([A-Za-z0-9/_.:-]*\)"/\1/g' "$WORK/$1/lines"
}

forget_lines() {
	local name
	for name; do rm -f "$WORK/$name/lines"; done
}

# answer NAME VERB <<<JSON
answer() {
	cat >"$WORK/$1/answer.$2"
}

refusing() {
	answer "$1" "$2" <<<'{"ok":false,"errno":"EBUSY","error":"disk '\''a'\'' is open for writing: end what has it open"}'
}

# domain_json NAME <<<JSON
domain_json() {
	cat >"$CONFIG/$1.json"
}

# hook XML DOMAIN OPERATION SUB-OPERATION [EXTRA]: as libvirt calls it. stdout is in $WORK/stdout, stderr in $WORK/refusal.
hook() {
	local xml=$XML/$1.xml
	[[ $1 != /* ]] || xml=$1
	shift
	# shellcheck disable=SC2086 # options
	"$REVERTFS_HOOK" --config-dir "$CONFIG" --log "$LOG" --save-dir "$SAVE" --libvirt-log-dir "$LIBVIRT" \
		--storage-dir "$POOLS" ${HOOK_OPTIONS:-} -- "$1" "$2" "$3" "${4:--}" \
		<"$xml" >"$WORK/stdout" 2>"$WORK/refusal"
}

# The domain does not start: exit status 1, nothing on stdout, one sentence that holds these words.
vetoed() {
	local words=$1 status=0
	shift
	hook "$@" || status=$?
	same "$status" 1
	same "$(cat "$WORK/stdout")" ""
	same "$(wc -l <"$WORK/refusal")" 1
	[[ $(cat "$WORK/refusal") == 'revertfs: '* ]]
	says "$words"
}

silent() {
	same "$(cat "$WORK/stdout" "$WORK/refusal")" ""
}

logged() {
	grep -qF -- "$1" "$LOG" || { echo "'$(cat "$LOG")' does not say '$1'" >&2; return 1; }
}
