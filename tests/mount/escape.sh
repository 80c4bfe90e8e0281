#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing in the images directory leads the daemon, which is root, out of it: symlinks are text that the kernel follows for the
# one who asks, with his rights, in his own namespace.
. "$TESTLIB"
need_fuse
need setpriv jq
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)

chmod 755 "$WORK"
mkdir "$WORK/outside" && echo secret >"$WORK/outside/file" && chmod 600 "$WORK/outside/file"
ln -s "$WORK/outside" "$IMAGES/absolute"
ln -s ../outside "$IMAGES/relative"
ln -s "$WORK/outside/file" "$IMAGES/file"
ln -s .. "$IMAGES/up"
start_daemon || fail "the daemon starts"

symlinks_are_text() {
	same "$(readlink "$MNT/absolute")" "$WORK/outside"
	same "$(readlink "$MNT/relative")" ../outside
	same "$(stat -c %F "$MNT/file")" "symbolic link"
}
promise "a symlink is shown as it is written" symlinks_are_text

followed_by_the_caller() {
	refuses "${nobody[@]}" cat "$MNT/file"
	refuses "${nobody[@]}" cat "$MNT/absolute/file"
	says "Permission denied"
	same "$(cat "$MNT/file")" secret
	[[ $(stat -Lc %d "$MNT/up") == $(stat -c %d "$WORK") ]] # beside the mount, not beside the images directory
}
promise "what a symlink leads to is opened by the caller, not by the daemon" followed_by_the_caller

changes_go_to_the_symlink() {
	chown -h 1:1 "$MNT/file"
	touch -h -d @1 "$MNT/file"
	setfattr -h -n trusted.x -v y "$MNT/file"
	same "$(stat -c %u:%g:%Y "$IMAGES/file")" 1:1:1
	same "$(stat -c %u:%g "$WORK/outside/file")" 0:0
	refuses getfattr -n trusted.x "$WORK/outside/file"
	ln "$MNT/file" "$MNT/second"
	same "$(stat -c %F "$IMAGES/second")" "symbolic link"
	rm "$MNT/file" "$MNT/second"
	same "$(cat "$WORK/outside/file")" secret
}
promise "chown, utimes, xattrs and links go to the symlink itself" changes_go_to_the_symlink

# A directory that becomes a symlink while a process works in it, or between two lookups.
replaced_directories() {
	mkdir "$MNT/d" && echo inside >"$MNT/d/file"
	cd "$MNT/d" || return
	mv "$IMAGES/d" "$IMAGES/was-d" && ln -s "$WORK/outside" "$IMAGES/d"
	same "$(cat file)" inside
	echo more >new
	cd /
	[[ -e $IMAGES/was-d/new && ! -e $WORK/outside/new ]]
	same "$(stat -c %F "$MNT/d")" "symbolic link"
}
promise "a directory that became a symlink leads nowhere else for who is in it" replaced_directories

raced_directories() {
	mkdir "$IMAGES/race"
	(
		set +e
		while :; do
			ln -s "$WORK/outside" "$IMAGES/race/x"
			rm "$IMAGES/race/x"
			mkdir "$IMAGES/race/x"
			echo inside >"$IMAGES/race/x/file"
			rm -r "$IMAGES/race/x"
		done
	) 2>/dev/null &
	local racer=$!
	for _ in $(seq 300); do
		"${nobody[@]}" cat "$MNT/race/x/file" >>"$WORK/raced" 2>/dev/null || :
	done
	kill "$racer"
	wait "$racer" 2>/dev/null || :
	same "$(sort -u "$WORK/raced")" inside
}
promise "directories that turn into symlinks and back give nobody what is outside" raced_directories

dot_dot() {
	same "$(stat -c %i "$MNT/d/../.." 2>/dev/null)" "$(stat -c %i "$WORK/..")"
	same "$(stat -c %d:%i "$MNT/..")" "$(stat -c %d:%i "$WORK")"
	same "$(cd "$MNT/was-d" && cd .. && pwd -P)" "$MNT"
}
promise "'..' of the mount is where it is mounted" dot_dot

control_names_cannot_leave() {
	local name
	for name in ../outside/file absolute/file file up/outside/file d/file /etc/passwd "$WORK/outside/file" \
		"$IMAGES/../outside/file" .revertfs/control .revertfs/images/x; do
		ctl "protect \"$name\"" >"$WORK/answer" && { echo "$name was protected" >&2; return 1; }
		jq -e '.ok == false' "$WORK/answer" >/dev/null
	done
	same "$(status '.disks | length')" 0
}
promise "no name in a command leads out of the images directory" control_names_cannot_leave

stop_daemon || fail "the daemon ends"
