#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who can look into the images directory keeps no daemon from it; a second daemon is kept out, by whatever path it comes.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

make_image vm.raw raw 1M 0x11

# hold_locked FILE: as a user, with flock(2), until $WORK/hold is closed.
hold_locked() {
	rm -f "$WORK/hold" "$WORK/held"
	mkfifo "$WORK/hold"
	# shellcheck disable=SC2016 # the inner shell expands it
	as_other flock --shared --nonblock "$1" bash -c 'echo held; read -r' <"$WORK/hold" >"$WORK/held" &
	exec 7>"$WORK/hold"
	wait_until 10 test -s "$WORK/held"
}

# Both the first daemon and the one after a crash.
who_has_it_locked_is_not_heeded() {
	hold_locked "$IMAGES"
	START=start_kept start_attacked -o protect=vm.raw
	kill_serving
	ctl "commit vm.raw"
	exec 7>&-
	refuses as_other flock --shared --nonblock /run/revertfs true
}

# Neither state directory, mount nor text of the path are the first's.
another_is_refused() {
	mkdir -p "$WORK/by-another-path" "$WORK/mnt2"
	mount --bind "$IMAGES" "$WORK/by-another-path"
	refuses timeout 20 "$REVERTFS" -f -o state="$WORK/state2" "$WORK/by-another-path" "$WORK/mnt2"
	says "another revertfs serves the images directory '$WORK/by-another-path': pid $(serving_pid)"
	stop_daemon
	"$REVERTFS" -o state="$WORK/state2" "$WORK/by-another-path" "$WORK/mnt2"
	umount "$WORK/mnt2"
}

# refused_with_run WORDS COMMAND: the directory of the locks is what the command makes of it.
refused_with_run() {
	refuses timeout 20 unshare --mount bash -c "$2"' && exec "$@"' - "$REVERTFS" -f -o state="$WORK/state3" "$IMAGES" "$MNT"
	says "$1"
}

the_directory_is_root_s() {
	stop_daemon
	refused_with_run "'/run/revertfs', where images directories are locked, cannot be made" \
		'mount -t tmpfs -o ro none /run'
	refused_with_run "may be written by others than root" 'chmod 777 /run/revertfs'
	refused_with_run "may be written by others than root" "chmod 700 /run/revertfs && chown $USER_A /run/revertfs"
	chown root /run/revertfs
}

promise "who has locked the images directory keeps no daemon from it, neither the first nor the next" who_has_it_locked_is_not_heeded || exit
promise "another daemon is refused by any path to it, by pid, and with a state directory of its own" another_is_refused
promise "where others could have the lock, or none can be had, no daemon starts" the_directory_is_root_s
