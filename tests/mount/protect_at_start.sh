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

# The mount answers before the last of them is protected, where that takes long.
are_disks() {
	same "$(names)" "$1"
}

matching() {
	start_daemon -o 'protect=*.img' -o 'protect=b.*'
	wait_until 30 are_disks "a.img b.qcow2 deep/er/c.img"
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
	wait_until 30 are_disks "a.img b.qcow2 deep/er/c.img"
	! grep -q "'a.img'.*protected" "$DAEMON_LOG" || return 1
	guest_reads a.img 0 1M 9
}
promise "what is protected already stays as it is" again

from_the_configuration() {
	stop_daemon
	echo '{"protect": ["other.*", "nothing*"]}' >"$WORK/config.json"
	start_daemon -o "config=$WORK/config.json"
	wait_until 30 are_disks "a.img b.qcow2 deep/er/c.img other.raw"
	stop_daemon
	start_daemon -o "config=$WORK/config.json" -o 'protect=b.*'
}
promise "the configuration's list counts where the command line has none" from_the_configuration

# A qemu-img that does not come back when it is to make the blank of certain images, told by their size.
slow_qemu_img() {
	cat >"$WORK/qemu-img" <<'END'
#!/bin/bash
[[ $1 != create || $* != *3145728* ]] || exec sleep 600
exec qemu-img "$@"
END
	chmod +x "$WORK/qemu-img"
	for name in 0slow.img 1slow.img 2slow.img; do
		make_image "$name" raw 3M
	done
	make_image z.img raw 1M 7
	make_image y.img raw 1M 7
	make_image x.img raw 1M 7
}

# With a timeout of 20 s for each of three: the mount would answer after a minute.
does_not_wait() {
	local began
	stop_daemon
	slow_qemu_img
	: >"$DAEMON_LOG"
	began=$(milliseconds)
	start_daemon -o 'protect=*.img' -o qemu-img="$WORK/qemu-img" -o qemu-timeout=$((20 * ${SLOW:-1}))
	(($(milliseconds) - began < 20000 * ${SLOW:-1}))
	grep -q "goes on while the mount answers" "$DAEMON_LOG"
	same "$(status_of z.img .name)" ""
	# Writers, readers, truncate(2), verbs and sessions find a disk.
	guest_write z.img 0 64k 8
	image_reads z.img raw 0 1M 7
	same "$(qemu-img info --output=json "$MNT/y.img" | jq -r .format)" qcow2
	ctl 'commit x.img'
	ctl 'prepare 11111111-2222-3333-4444-555555555555 domain=d z.img target=vda' >&2
	ctl 'release 11111111-2222-3333-4444-555555555555 reason=destroyed vda' >&2
	grep -q "'0slow.img'.*\(served unprotected\|no progress\|timeout\)" "$DAEMON_LOG" && return 1
	same "$(names | grep -c slow)" 0
}
promise "images that keep qemu-img waiting do not keep the mount from answering, nor the others from being disks" does_not_wait

cut_through_the_mount() {
	rm -f "$IMAGES"/?slow.img
	stop_daemon
	make_image 0slow.img raw 3M
	make_image w.img raw 1M 7
	start_daemon -o 'protect=*.img' -o qemu-img="$WORK/qemu-img" -o qemu-timeout=$((20 * ${SLOW:-1}))
	same "$(status_of w.img .name)" ""
	truncate -s 0 "$MNT/w.img" || :
	image_reads w.img raw 0 1M 7
	same "$(status_of w.img .name)" w.img
}
promise "truncate(2) does not cut such an image either" cut_through_the_mount

ends_at_once() {
	rm -f "$IMAGES/0slow.img"
	kill_daemon
	start_daemon -o 'protect=*.img'
	guest_reads z.img 0 1M 7
}
promise "the next start protects what is left" ends_at_once

stop_daemon || fail "the daemon ends"
