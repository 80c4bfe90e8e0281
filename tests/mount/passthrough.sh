#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the kernel offers passthrough, reads and writes never reach the daemon; a file that cannot be passed through is
# served by the daemon, whole, and nobody notices but the status.
. "$TESTLIB"
need_fuse
need jq qemu-io qemu-img setpriv filefrag
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
chmod 755 "$WORK" "$MNT" "$IMAGES"

option_is_checked() {
	refuses "$REVERTFS" -o "state=$STATE,passthrough=maybe" "$IMAGES" "$MNT"
	says "'maybe' is not one of no, auto and require"
}
promise "what passthrough= says is checked" option_is_checked

# A filesystem of its own for the images shows, by its free space, what is still held of files that are gone.
small_filesystem "$IMAGES" 400M || { skip "passthrough: no loop mounts"; exit 0; }
make_image d.img raw 64M 1
export PASSTHROUGH=auto # whatever the rest of the run has
start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null || fail "the image can be protected"
if [[ $(status .passthrough) != true ]]; then
	stop_daemon
	without_the_kernel() {
		refuses "$REVERTFS" -o "state=$STATE,passthrough=require" "$IMAGES" "$MNT"
		says "this kernel has no FUSE passthrough"
		! mountpoint -q "$MNT"
	}
	promise "passthrough=require says that the kernel has none" without_the_kernel
	skip "passthrough: this kernel has none"
	exit 0
fi

# What the daemon has read and written through system calls.
daemon_bytes() {
	awk '/^rchar|^wchar/ { sum += $2 } END { print sum }' "/proc/$(daemon_pid)/io"
}

# costs_the_daemon_little COMMAND...
costs_the_daemon_little() {
	local before
	before=$(daemon_bytes)
	"$@"
	(($(daemon_bytes) - before < 4 << 20)) || { echo "$(($(daemon_bytes) - before)) bytes" >&2; return 1; }
}

bytes_pass_by() {
	costs_the_daemon_little qemu_io -f qcow2 -c "write -q -P 5 0 32M" -c "read -q -P 5 0 32M" -c "read -q -P 1 32M 32M" "$MNT/d.img"
	costs_the_daemon_little dd if=/dev/zero of="$MNT/new" bs=1M count=16 status=none
	costs_the_daemon_little dd if="$MNT/new" of=/dev/null bs=1M status=none
	# A view is a guest's while a disk that stands on it is open for writing.
	exec 9<>"$MNT/d.img"
	costs_the_daemon_little dd if="$MNT/.revertfs/images/d.img" of=/dev/null bs=1M status=none
	exec 9>&-
	same "$(status_of d.img .passthrough)" true
	same "$(stat -c %s "$IMAGES/new")" $((16 << 20))
}
promise "reads and writes of disks, views, old and new files do not reach the daemon" bytes_pass_by

written_is_dirty() {
	ctl 'reset d.img'
	same "$(status_of d.img .state)" pristine
	exec 9<>"$MNT/d.img"
	same "$(status_of d.img .state)" pristine
	printf 'Q' >&9
	same "$(status_of d.img .state)" dirty
	awk '$1 == "d.img"' "$MNT/.revertfs/status" | grep -q dirty
	exec 9>&-
	ctl 'reset d.img'
	same "$(status_of d.img .state)" pristine
	guest_reads d.img 0 64M 1
}
promise "a disk that was written is dirty, though the daemon saw no write" written_is_dirty

sealed_is_what_was_written() {
	ctl 'reset d.img'
	guest_write d.img 1M 1M 7
	ctl 'commit d.img'
	wait_until 20 job_is_done d.img
	image_reads d.img raw 1M 1M 7
	guest_reads d.img 1M 1M 7
}
promise "a commit holds what the kernel wrote" sealed_is_what_was_written

# What is not on the medium yet has no place there: filefrag says "delalloc". The kernel would wait half a minute.
written_back_all_along() {
	local scratch=$STATE/disks/d.img/scratch.qcow2
	ctl 'reset d.img'
	exec 9<>"$MNT/d.img"
	dd if=/dev/zero bs=1M count=8 status=none >&9
	if filefrag -v "$scratch" | grep -q delalloc; then
		on_the_medium() {
			! filefrag -v "$scratch" | grep -q delalloc
		}
		wait_until 12 on_the_medium
	fi
	exec 9>&-
	ctl 'reset d.img'
}
promise "what is written without a session is written back all along" written_back_all_along

removed_files_are_let_go() {
	local before i
	before=$(df --output=used -B1 "$IMAGES" | tail -n 1)
	for i in 1 2 3 4; do
		exec 9<>"$MNT/gone"
		dd if=/dev/zero bs=1M count=16 status=none >&9
		exec 8<"$MNT/gone"
		rm "$MNT/gone"
		exec 8<&- 9>&-
	done
	back() {
		(($(df --output=used -B1 "$IMAGES" | tail -n 1) < before + (16 << 20)))
	}
	wait_until 10 back
}
promise "a removed file's space comes back when the last has closed it" removed_files_are_let_go

suid_is_served() {
	cp /usr/bin/id "$MNT/suid" && chmod 6777 "$MNT/suid"
	"${nobody[@]}" dd if=/dev/zero of="$MNT/suid" bs=1 count=1 conv=notrunc status=none
	same "$(stat -c %a "$MNT/suid")" 777
	chmod 6777 "$MNT/suid"
	"${nobody[@]}" fallocate -l 2M "$MNT/suid"
	same "$(stat -c %a "$MNT/suid")" 777
	chmod 6777 "$MNT/suid"
	"${nobody[@]}" truncate -s 5 "$MNT/suid"
	same "$(stat -c %a "$MNT/suid")" 777
	chmod 6777 "$MNT/suid"
	printf 'root' | dd of="$MNT/suid" conv=notrunc status=none
	same "$(stat -c %a "$MNT/suid")" 6777
}
promise "who may not leave suid bits takes them by writing, root does not" suid_is_served

# The second open finds the mode of the first, whatever it would have been by itself.
one_mode_for_all() {
	echo first >"$MNT/mode"
	chmod 4755 "$MNT/mode"
	exec 8<"$MNT/mode"
	chmod 755 "$MNT/mode"
	exec 9<>"$MNT/mode"
	same "$(cat <&8)" first
	echo second >&9
	same "$(cat "$MNT/mode")" second
	exec 8<&- 9>&-
	exec 8<"$MNT/mode"
	chmod 4755 "$MNT/mode"
	exec 9<>"$MNT/mode"
	same "$(cat <&8)" second
	echo thirds >&9
	same "$(cat "$MNT/mode" "$IMAGES/mode")" $'thirds\nthirds'
	exec 8<&- 9>&-
}
promise "all who have a file open see the same, whichever way the first was served" one_mode_for_all

many_at_once() {
	local i pids=()
	for i in $(seq 8); do
		(for _ in $(seq 200); do echo "$i" >>"$MNT/many" && read -r _ <"$MNT/many" || exit 1; done) &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	same "$(wc -l <"$MNT/many")" 1600
}
promise "opening and closing from many sides fails nobody" many_at_once

stop_daemon || fail "the daemon ends"

# served_or_passed EXPECTED: a disk and a file of the images directory work, and the disk is (not) passed through.
served_or_passed() {
	start_daemon
	ctl 'protect e.img' >/dev/null
	guest_write e.img 0 1M 3
	guest_reads e.img 0 1M 3
	guest_reads e.img 1M 7M 2
	echo text >"$MNT/text"
	same "$(cat "$MNT/text")" text
	same "$(status .passthrough) $(status_of e.img .passthrough)" "true $1"
	ctl 'reset e.img'
	guest_reads e.img 0 8M 2
	stop_daemon
}

overlay() {
	mkdir "$1.upper" "$1.work"
	mount -t overlay -o "lowerdir=$2,upperdir=$1.upper,workdir=$1.work" none "$1"
}

# Filesystems of their own: an overlay cannot have an overlay for its upper directory.
on_overlayfs() {
	IMAGES=$WORK/stacked STATE=$WORK/state2
	mkdir "$WORK/lower" "$IMAGES"
	overlay "$IMAGES" "$WORK/lower"
	make_image e.img raw 8M 2
	served_or_passed true
	umount "$IMAGES"
}
promise "files on overlayfs are passed through" on_overlayfs

stacked_too_deep() {
	IMAGES=$WORK/deep STATE=$WORK/deep.state
	mkdir "$WORK/l1" "$WORK/l2" "$WORK/l2/"{images,state} "$IMAGES"
	overlay "$WORK/l2" "$WORK/l1"
	overlay "$IMAGES" "$WORK/l2"
	make_image e.img raw 8M 2
	echo old >"$WORK/deep/old"
	start_daemon
	same "$(cat "$MNT/old")" old
	echo new >>"$MNT/old"
	same "$(cat "$IMAGES/old")" $'old\nnew'
	same "$(status .passthrough)" true
	grep -q "the kernel does not pass a file through" "$DAEMON_LOG"
	stop_daemon
	umount "$IMAGES" "$WORK/l2"
}
promise "what the kernel refuses to pass through the daemon serves" stacked_too_deep

without() {
	STATE=$WORK/state PASSTHROUGH=no start_daemon
	same "$(status .passthrough) $(status_of d.img .passthrough)" "false false"
	guest_write d.img 2M 1M 8
	guest_reads d.img 2M 1M 8
	same "$(status_of d.img .state)" dirty
	stop_daemon
}
promise "passthrough=no is obeyed" without

required() {
	PASSTHROUGH=require start_daemon
	same "$(status .passthrough)" true
	stop_daemon
}
promise "passthrough=require starts where the kernel has it" required
