#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Images that two hosts see are served by one of them, and no image is written that another may read. A host here is a
# mount namespace with a /run, a process table and a name of its own.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

small_filesystem "$WORK/disk" 64M || fail "a filesystem on a loop device"
shared_filesystem || fail "a filesystem that hosts share"

# ---- one daemon

one_daemon() {
	make_image vm.img raw 4M 1
	start_daemon -o protect=vm.img
	refuses second_daemon "$WORK/state2" "$IMAGES"
	says "another revertfs serves the images directory '$IMAGES': pid $(daemon_pid) on host '$(hostname)'"
	# What it leaves behind locked is its own, and so is what root alone may read.
	same "$(stat -c '%a %u' "$IMAGES/.revertfs" "$IMAGES/.revertfs/lock" | tr '\n' ' ')" "700 0 600 0 "
	refuses ls "$MNT/.revertfs/lock"
	same "$(find "$MNT" -mindepth 1 -name '.rev*' | wc -l)" 0
	kill_daemon
	second_daemon "$WORK/state2" "$IMAGES"
	start_daemon -o 'protect=*'
	same "$(status '[.disks[].name] | tostring')" '["vm.img"]'
	! grep -F .revertfs "$DAEMON_LOG"
	stop_daemon
	second_daemon "$WORK/state2" "$IMAGES"
}

# The second host tries again and again, as its systemd does.
no_gap() {
	local i
	: >"$WORK/tries"
	start_kept
	(while [[ ! -e $WORK/enough ]]; do
		! second_daemon "$WORK/state2" "$IMAGES" >>"$WORK/tries" 2>&1 || touch "$WORK/came-in"
	done) &
	for ((i = 0; i < 3; i++)); do
		wait_until 10 tried_since "$(wc -l <"$WORK/tries")"
		kill_serving
	done
	stop_daemon
	wait_until 20 test -e "$WORK/came-in"
	touch "$WORK/enough"
	wait
	same "$(grep -vc 'another revertfs serves the images directory\|raise the limit\|is served at\|ending' "$WORK/tries")" 0
}

tried_since() {
	(($(wc -l <"$WORK/tries") > $1)) && [[ ! -e $WORK/came-in ]]
}

# A process that a killed daemon has started may write for a little longer.
not_while_it_writes() {
	cat >"$WORK/qemu-img" <<-'SH'
		#!/bin/bash
		if [[ $1 == commit ]]; then
			sleep 1000 </dev/null >/dev/null 2>&1 &
			echo $! >"${0%/*}/left"
		fi
		exec qemu-img "$@"
	SH
	chmod +x "$WORK/qemu-img"
	rm -f "$WORK/left"
	start_daemon -o qemu-img="$WORK/qemu-img" -o unboxed -o images-are-mine=yes
	guest_write vm.img 0 64k 2
	ctl 'commit vm.img'
	ctl 'fold vm.img'
	kill_daemon
	refuses second_daemon "$WORK/state2" "$IMAGES"
	says "another revertfs serves the images directory '$IMAGES'"
	kill "$(cat "$WORK/left")"
	second_daemon "$WORK/state2" "$IMAGES"
}

for IMAGES in "$WORK/disk" "$WORK/shared"; do
	promise "${IMAGES##*/}: a second host's daemon is refused, and told by whom, while the first lives; not after its kill or end" one_daemon
	promise "${IMAGES##*/}: ... nor while a qemu-img of a killed one may write" not_while_it_writes
	rm -r "$STATE"
done
IMAGES=$WORK/shared
promise "... nor while one daemon of a mount follows another" no_gap

# ---- no lock

# cannot_lock WORDS: on the shared filesystem that is refused, but not where the administrator knows.
cannot_lock() {
	refuses second_daemon "$WORK/state2" "$WORK/shared"
	says "'$WORK/shared' lies on a filesystem (FUSE) that other hosts may see, and cannot be locked against them: $1"
	says "images-are-mine=yes"
	second_daemon "$WORK/state2" -o images-are-mine=yes "$WORK/shared"
}

no_lock_there() {
	touch "$WORK/told/nolocks"
	cannot_lock "No locks available"
	rm "$WORK/told/nolocks"
	chown 65534 "$WORK/server/.revertfs" # root is nobody there
	cannot_lock "its '.revertfs' is not root's alone"
	rm -r "$WORK/server/.revertfs"
	ln -s "$WORK/told" "$WORK/server/.revertfs"
	cannot_lock "its '.revertfs' is not root's alone"
	rm "$WORK/server/.revertfs"
	same "$(ls "$WORK/told")" ""
}
promise "where other hosts cannot be locked out, no daemon starts unless the administrator says that there are none" no_lock_there

# SMB locks a file once: that another daemon has it is seen there, too.
locked_once() {
	touch "$WORK/told/once"
	start_daemon
	refuses second_daemon "$WORK/state2" "$IMAGES"
	says "another revertfs serves the images directory"
	stop_daemon
	refuses timeout 20 "$REVERTFS" -f -o state="$WORK/shared/state" "$WORK/disk" "$WORK/mnt2"
	says "does not tell whether a lock there is still held (Permission denied): have it on this host"
	rm -r "$WORK/told/once" "$WORK/shared/state"
}
promise "where a lock cannot be looked after images are served, but no state is kept" locked_once

no_lock_here() {
	chown 64002 "$WORK/disk/.revertfs"
	second_daemon "$WORK/state2" "$WORK/disk" 2>"$WORK/warned"
	rm -r "$WORK/disk/.revertfs"
	mount -o remount,ro "$WORK/disk"
	second_daemon "$WORK/state2" "$WORK/disk"
	mount -o remount,rw "$WORK/disk"
}
promise "on a filesystem of this host alone that is no reason" no_lock_here

# ---- nothing is written in place

stays_above() {
	local sum
	make_image gold.img raw 4M 1
	start_daemon
	exec 8<>"$IMAGES/gold.img" # a writer of this host is seen
	ctl_fails EBUSY 'protect gold.img' "is open for writing"
	exec 8>&-
	ctl 'protect gold.img'
	sum=$(checksum "$IMAGES/gold.img")
	for pattern in 2 3 4; do
		guest_write gold.img 0 64k $pattern
		guest_write gold.img ${pattern}00k 64k $pattern
		ctl 'commit gold.img'
	done
	ctl 'fold gold.img' >"$WORK/answer"
	jq -e '.waits_for | contains("its commits stay above its image, which lies on a filesystem (FUSE) that other hosts may see")' "$WORK/answer"
	jq -e '.waits_for | contains("images-are-mine=yes")' "$WORK/answer"
	# They go into each other: one layer is left.
	same "$(status_of gold.img .depth)" 1
	status_of gold.img .waits_for | grep "images-are-mine=yes"
	same "$(checksum "$IMAGES/gold.img")" "$sum"
	guest_reads gold.img 0 64k 4
	guest_reads gold.img 200k 64k 2
	ctl_fails EBUSY 'unprotect gold.img' "images-are-mine=yes"
	ctl 'set gold.img size=8M'
	ctl 'fold gold.img'
	same "$(status_of gold.img '[.depth, .virtual_size] | tostring')" "[1,$((8 << 20))]"
	same "$(checksum "$IMAGES/gold.img")" "$sum"
	restart_daemon
	same "$(checksum "$IMAGES/gold.img")" "$sum"
}
promise "on a filesystem that other hosts may see nothing is folded into an image, but layers into each other, and all say why" stays_above

is_folded() {
	stop_daemon
	start_daemon -o images-are-mine=yes
	ctl 'fold gold.img'
	image_reads gold.img raw 0 64k 4
	same "$(stat -c %s "$IMAGES/gold.img")" $((8 << 20))
	same "$(status_of gold.img '[.depth, .waits_for] | tostring')" "[0,null]"
	ctl 'unprotect gold.img'
	stop_daemon
}
promise "where the administrator says that no other host uses them, it is" is_folded

# Another host gets the images while a fold writes: it stops at its next beat.
lost_while_it_writes() {
	local sum
	rm -r "$STATE"
	make_image lost.img raw 8M 1
	cat >"$WORK/qemu-img" <<-SH
		#!/bin/bash
		[[ \$1 == commit ]] || exec qemu-img "\$@"
		touch "$WORK/told/lost"
		exec qemu-img "\$@" -r 262144
	SH
	chmod +x "$WORK/qemu-img"
	start_daemon -o qemu-img="$WORK/qemu-img" -o unboxed -o images-are-mine=yes -o protect=lost.img
	guest_write lost.img 0 8M 2
	ctl 'set lost.img keep-revisions=1'
	ctl 'commit lost.img'
	ctl 'set lost.img keep-revisions=0'
	ctl_fails ESTALE 'fold lost.img' "another host may be using the image"
	sum=$(checksum "$IMAGES/lost.img")
	ctl_fails ESTALE 'fold lost.img'
	same "$(checksum "$IMAGES/lost.img")" "$sum"
	guest_reads lost.img 0 8M 2
	stop_daemon
	rm "$WORK/told/lost"
	start_daemon -o images-are-mine=yes
	ctl 'fold lost.img'
	image_reads lost.img raw 0 8M 2
	ctl 'unprotect lost.img'
	rm "$IMAGES/lost.img"
	stop_daemon
}
promise "a fold stops writing when another host has got the images" lost_while_it_writes

# A fold that was cut short where it was allowed waits like any other.
cut_short() {
	local sum
	rm -r "$STATE"
	make_image gold.img raw 4M 1
	start_daemon -o images-are-mine=yes -o protect=gold.img
	guest_write gold.img 0 64k 2
	ctl 'set gold.img keep-revisions=1'
	ctl 'commit gold.img'
	stop_daemon
	sed -i 's/"sealed"/"folding"/' "$(grep -l '"image":null' "$STATE"/layers/*.json)"
	sum=$(checksum "$IMAGES/gold.img")
	start_daemon
	ctl 'set gold.img keep-revisions=0'
	ctl 'fold gold.img' | jq -e '.waits_for | contains("stay above")'
	guest_write gold.img 64k 64k 3
	ctl 'commit gold.img'
	ctl 'fold gold.img'
	same "$(status_of gold.img .depth)" 1
	guest_reads gold.img 0 64k 2
	guest_reads gold.img 64k 64k 3
	same "$(checksum "$IMAGES/gold.img")" "$sum"
	stop_daemon
	start_daemon -o images-are-mine=yes
	ctl 'fold gold.img'
	image_reads gold.img raw 0 64k 2
	image_reads gold.img raw 64k 64k 3
	stop_daemon
}
promise "... also a fold that was begun, and it is finished when it may be" cut_short

# ---- a directory within

# The images directory is this host's own, the image is not; a daemon that has just started has not looked at it yet.
mounted_within() {
	local sum
	rm -r "$STATE"
	mkdir "$WORK/local" "$WORK/local/far"
	mount --bind "$WORK/shared" "$WORK/local/far"
	make_image far/gold.img raw 4M 1
	sum=$(checksum "$IMAGES/far/gold.img")
	start_daemon
	ctl 'protect far/gold.img'
	ctl 'set far/gold.img keep-revisions=1'
	guest_write far/gold.img 0 64k 2
	ctl 'commit far/gold.img'
	ctl 'set far/gold.img keep-revisions=0'
	ctl 'fold far/gold.img' | jq -e '.waits_for | contains("which lies on a filesystem (FUSE)")'
	kill_daemon
	start_daemon
	wait_until 10 says_why far/gold.img
	ctl 'fold far/gold.img' | jq -e '.waits_for | contains("which lies on a filesystem (FUSE)")'
	guest_reads far/gold.img 0 64k 2
	same "$(checksum "$IMAGES/far/gold.img")" "$sum"
	stop_daemon
}

says_why() {
	[[ $(status_of "$1" .waits_for) == *"which lies on a filesystem (FUSE)"* && $(status_of "$1" .job) == null ]]
}

IMAGES=$WORK/local
promise "an image on such a filesystem that is mounted within the directory is not written either" mounted_within
