#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A FIFO, a socket, a directory, a symlink or a device where a file of the state directory should be is refused and
# never waited for: the daemon answers, or ends with a sentence, and what a symlink leads to stays as it is.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io python3

GOOD=$WORK/state.good CANARY=$WORK/canary SEEN=$WORK/canary.seen
ID=0123456789abcdef

make_state() {
	make_image a.raw raw 1M 0x11
	make_image b.qcow2 qcow2 1M 0x22
	start_daemon -o protect='*'
	ctl "set a.raw keep-revisions=20"
	guest_write a.raw 0 64k 0x33
	ctl "commit a.raw"
	ctl "clone a.raw c.qcow2"
	guest_write b.qcow2 0 64k 0x44
	stop_daemon
	cp -a "$STATE" "$GOOD"
	echo canary >"$CANARY"
	chmod 640 "$CANARY"
	stat -c '%i %a %u %s %Y %Z' "$CANARY" >"$SEEN"
}

canary_is_untouched() {
	same "$(stat -c '%i %a %u %s %Y %Z' "$CANARY")" "$(cat "$SEEN")"
	same "$(cat "$CANARY")" canary
}

# Every file and directory that there is, and what only a crash leaves.
places() {
	local layer
	(cd "$GOOD" && find . -mindepth 1 | sed 's|^\./||')
	for layer in "$GOOD"/layers/*.json; do
		layer=$(basename "$layer" .json)
		printf 'layers/%s.header\n' "$layer"
	done
	printf '%s\n' disks/a.raw/{session.json,scratch.header} {intents,makings}/$ID.json
}

# What a verb or a session writes before it is renamed.
new_places() {
	printf '%s\n' disks/{a.raw,b.qcow2}/{disk.json,session.json,scratch.qcow2,scratch.header}.new
	local layer
	for layer in "$GOOD"/layers/*.json; do
		layer=$(basename "$layer" .json)
		printf 'layers/%s.new\n' "$layer".{json,qcow2,template,header}
	done
	printf '%s\n' boot.new
}

# plant KIND PATH
plant() {
	rm -rf "$2"
	case $1 in
	fifo) mkfifo "$2" ;;
	socket) python3 -c 'import os, socket, sys; os.chdir(os.path.dirname(sys.argv[1])); socket.socket(socket.AF_UNIX).bind(os.path.basename(sys.argv[1]))' "$2" ;;
	directory) mkdir "$2" ;;
	symlink) ln -s "$CANARY" "$2" ;;
	device) mknod "$2" c 1 5 ;;
	esac
}

# It is mounted and answers, or has ended and said why.
answers_or_says_why() {
	local before
	before=$(wc -c <"$DAEMON_LOG")
	launch_daemon
	wait_until 20 mounted_or_gone || { kill -KILL "$(daemon_pid)"; return 1; }
	if mount_answers; then
		timeout $((20 * ${SLOW:-1})) cat "$MNT/.revertfs/status.json" >/dev/null || { kill -KILL "$(daemon_pid)"; return 1; }
		stop_daemon
	else
		(($(wc -c <"$DAEMON_LOG") > before)) || { echo "it ended without a word" >&2; return 1; }
	fi
}

# The kinds take turns at each place, in the order that $1 begins; so five runs of this would try all at each.
plant_in_turn() {
	local kinds=(fifo socket directory symlink device fifo symlink) place i=$1
	while read -r place; do
		rm -rf "$STATE"
		cp -a "$GOOD" "$STATE"
		i=$(((i + 1) % ${#kinds[@]}))
		plant "${kinds[i]}" "$STATE/$place"
		answers_or_says_why || { echo "a ${kinds[i]} at $place" >&2; return 1; }
		canary_is_untouched || { echo "a ${kinds[i]} at $place" >&2; return 1; }
	done < <(places)
}

plant_fifos_everywhere() {
	local place
	for place in boot lock disks/a.raw/{disk.json,session.json,scratch.qcow2,scratch.header} {intents,makings}/$ID.json; do
		rm -rf "$STATE"
		cp -a "$GOOD" "$STATE"
		plant fifo "$STATE/$place"
		answers_or_says_why || { echo "a fifo at $place" >&2; return 1; }
	done
	rm -rf "$STATE"
	cp -a "$GOOD" "$STATE"
	for place in "$STATE"/layers/*; do plant fifo "$place"; done
	answers_or_says_why
}

is_gone() {
	! kill -0 "$1"
}

use_the_verbs() {
	guest_write a.raw 0 64k 0x55 && ctl "commit a.raw" && ctl "reset b.qcow2" && ctl "snapshot a.raw p"
}

# The new file takes the place of what lies there. A directory is refused, with a sentence.
verbs_replace_what_lies_there() {
	local kind place
	for kind in fifo symlink socket device; do
		rm -rf "$STATE"
		cp -a "$GOOD" "$STATE"
		start_daemon
		while read -r place; do plant "$kind" "$STATE/$place"; done < <(new_places)
		use_the_verbs &
		wait_until 60 is_gone $! && wait $! ||
			{ echo "with a $kind" >&2; kill -KILL "$(daemon_pid)"; return 1; }
		guest_reads a.raw 0 64k 0x55
		canary_is_untouched
		stop_daemon
	done
}

promise "a state directory with layers, a clone and data" make_state
promise "a FIFO is waited for nowhere" plant_fifos_everywhere
promise "nor is anything else that is no file, at any place" plant_in_turn 0
promise "a half-written file of any kind is replaced, and never written through" verbs_replace_what_lies_there
