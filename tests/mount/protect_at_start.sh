#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `-o protect=GLOB`: what matches is a disk before anybody can open it; what cannot be protected is said and served as it is.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

make_image a.img raw 1M 1
make_image b.qcow2 qcow2 1M 2
make_image deep/er/c.img raw 1M 3
make_image other.raw raw 1M 4
make_image linked.img raw 1M 5
ln "$IMAGES/linked.img" "$IMAGES/second-name"
ln -s a.img "$IMAGES/symlink.img"
mkdir "$IMAGES/directory.img" "$IMAGES/.revertfs" && cp "$IMAGES/a.img" "$IMAGES/.revertfs/hidden.img"

names() {
	status '[.disks[].name] | sort | join(" ")'
}

matching() {
	start_daemon -o 'protect=*.img' -o 'protect=b.*'
	same "$(names)" "a.img b.qcow2 deep/er/c.img"
	same "$(qemu-img info --output=json "$MNT/deep/er/c.img" | jq -r .format)" qcow2
	guest_reads deep/er/c.img 0 1M 3
}
promise "files beneath the images directory whose name matches are disks; '*' matches slashes too" matching

said() {
	grep -q "'linked.img' matches '-o protect' and is served unprotected: " "$DAEMON_LOG"
	! grep -qE "'(symlink|directory)\.img'" "$DAEMON_LOG" || return 1
	same "$(stat -c %F "$MNT/symlink.img")" "symbolic link"
}
promise "what cannot be protected is logged, symlinks and directories are not meant" said

again() {
	guest_write a.img 0 1M 9
	: >"$DAEMON_LOG"
	restart_daemon
	same "$(names)" "a.img b.qcow2 deep/er/c.img"
	! grep -q "'a.img'.*protected" "$DAEMON_LOG" || return 1
	guest_reads a.img 0 1M 9
}
promise "what is protected already stays as it is" again

from_the_configuration() {
	stop_daemon
	echo '{"protect": ["other.*", "nothing*"]}' >"$WORK/config.json"
	start_daemon -o "config=$WORK/config.json"
	same "$(names)" "a.img b.qcow2 deep/er/c.img other.raw"
	stop_daemon
	start_daemon -o "config=$WORK/config.json" -o 'protect=b.*'
}
promise "the configuration's list counts where the command line has none" from_the_configuration

stop_daemon || fail "the daemon ends"
