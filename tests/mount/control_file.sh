#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The control file as a file: what is written is a command, what is read on the same descriptor is its answer, and nothing
# but a write has an effect. What the commands do is tested elsewhere.
. "$TESTLIB"
need_fuse
need jq qemu-img

make_image d.img raw 1M
start_daemon || fail "the daemon starts"
control=$MNT/.revertfs/control

echo_users() {
	echo "protect d.img" >"$control"
	same "$(status_of d.img .state)" pristine
	refuses bash -c "echo protect d.img >'$control'"
	says "File exists"
	refuses bash -c "echo reset none >'$control'"
	says "No such file or directory"
	echo "reset d.img" >>"$control"
	printf 'reset d.img' | dd of="$control" bs=64k status=none
}
promise "echo works, and a failed command fails the write with its errno" echo_users

# read_answer OPENED-WITH-AN-ANSWER-ON-FD-9
the_answer_goes_on_where_the_write_ended() {
	exec 9<>"$control"
	echo "reset d.img" >&9
	same "$(cat <&9 | jq -r .ok)" true
	exec 9>&-
}
promise "reading on after the write gives the answer" the_answer_goes_on_where_the_write_ended

by_pread() {
	python3 - "$control" <<-'EOF'
		import os, sys, json, errno
		fd = os.open(sys.argv[1], os.O_RDWR)
		assert os.read(fd, 100) == b"", "an answer before a command"
		line = b"reset d.img\n"
		assert os.write(fd, line) == len(line)
		assert json.loads(os.pread(fd, 4096, 0))["ok"] is True
		assert json.loads(os.pread(fd, 4096, 0))["ok"] is True
		os.lseek(fd, 0, 0)
		assert os.write(fd, line) == len(line)
		whole = os.pread(fd, 4096, 0)
		os.lseek(fd, 0, 0)
		parts = b""
		while True:
		    part = os.read(fd, 3)
		    if not part: break
		    parts += part
		assert parts == whole, (parts, whole)
		assert os.pread(fd, 100, len(whole)) == b""
		assert os.pread(fd, 4, 3) == whole[3:7]
		# Read on behind the write, in small pieces.
		os.lseek(fd, 0, 0)
		os.write(fd, line)
		parts = b""
		while True:
		    part = os.read(fd, 5)
		    if not part: break
		    parts += part
		assert parts == whole, (parts, whole)
		# Several commands on one descriptor: each replaces the answer.
		try:
		    os.write(fd, b"reset none\n")
		    assert False, "it did not fail"
		except OSError as e:
		    assert e.errno == errno.ENOENT
		answer = json.loads(os.pread(fd, 4096, 0))
		assert answer["ok"] is False and answer["errno"] == "ENOENT" and "none" in answer["error"], answer
		os.write(fd, line)
		assert json.loads(os.read(fd, 4096))["ok"] is True
	EOF
}
if command -v python3 >/dev/null; then
	promise "pread, lseek to the start and small reads give the same answer" by_pread
else
	skip "pread, lseek to the start and small reads give the same answer: python3 is missing"
fi

a_failure_can_be_read() {
	exec 9<>"$control"
	refuses bash -c 'echo "reset none" >&9'
	same "$(jq -r '.ok, .errno' <&9)" $'false\nENOENT'
	exec 9>&-
}
promise "after a failed write the sentence can be read" a_failure_can_be_read

answers_are_each_their_own() {
	exec 8<>"$control" 9<>"$control"
	echo "reset d.img" >&8
	refuses bash -c 'echo "reset none" >&9'
	same "$(jq -r .ok <&8)" true
	same "$(jq -r .ok <&9)" false
	exec 8>&- 9>&-
}
promise "two descriptors have two answers" answers_are_each_their_own

help_for_readers() {
	local verb
	for verb in protect unprotect set reset commit undo fold cancel prepare release; do
		grep -qw "$verb" "$control"
	done
	! grep -q '"ok"' "$control" || return 1
}
promise "opened for reading alone it lists the commands" help_for_readers

no_side_effects() {
	local before
	before=$(status '.disks | tostring')
	cat "$control" "$MNT/.revertfs/status" "$MNT/.revertfs/status.json" >/dev/null
	: >"$control"
	: >>"$control"
	truncate -s 0 "$control"
	truncate -s 1000 "$control"
	dd if="$control" of=/dev/null bs=1 status=none
	head -c 0 "$control"
	exec 9<>"$control"
	exec 9>&-
	printf '\n\n  \n' >"$control"
	same "$(status '.disks | tostring')" "$before"
}
promise "opening, truncating, reading and blank lines do nothing" no_side_effects

neither_moved_nor_changed() {
	local name
	for name in control status status.json images layers; do
		refuses chmod 777 "$MNT/.revertfs/$name"
		says "Operation not permitted"
		refuses chown 1:1 "$MNT/.revertfs/$name"
		refuses mv "$MNT/.revertfs/$name" "$MNT/.revertfs/other"
		refuses rm -rf "$MNT/.revertfs/$name"
		refuses ln "$MNT/.revertfs/$name" "$MNT/link"
		refuses setfattr -n user.a -v b "$MNT/.revertfs/$name"
		refuses touch "$MNT/.revertfs/$name"
	done
	refuses touch "$MNT/.revertfs/new"
	refuses mkdir "$MNT/.revertfs/new" "$MNT/.revertfs/images/new" "$MNT/.revertfs/layers/new"
	refuses ln -s x "$MNT/.revertfs/images/new"
	refuses mv "$MNT/.revertfs" "$MNT/visible"
	refuses rmdir "$MNT/.revertfs"
	refuses mkdir "$MNT/.revertfs"
	refuses bash -c "echo x >'$MNT/.revertfs/status'"
	refuses bash -c "echo x >'$MNT/.revertfs/status.json'"
}
promise "nothing in .revertfs can be created, removed, renamed or labelled" neither_moved_nor_changed

hidden() {
	mkdir "$IMAGES/.revertfs" && echo x >"$IMAGES/.revertfs/own"
	same "$(find "$MNT" -maxdepth 1 -name .revertfs)" ""
	refuses cat "$MNT/.revertfs/own"
	[[ -e $MNT/.revertfs/control ]]
	mkdir "$MNT/sub" && mkdir "$MNT/sub/.revertfs" && echo y >"$MNT/sub/.revertfs/own"
	same "$(cat "$IMAGES/sub/.revertfs/own")" y
	same "$(ls -A "$MNT/sub")" .revertfs
	same "$(find "$MNT/.revertfs" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)" "control images layers status status.json"
	rm -r "$IMAGES/.revertfs"
}
promise ".revertfs is reachable in the root alone, and no listing shows it" hidden

too_long() {
	head -c 65537 /dev/zero | tr '\0' ' ' >"$WORK/long"
	refuses dd if="$WORK/long" of="$control" bs=65537 count=1 conv=notrunc status=none
	says "Invalid argument"
	refuses dd if=/dev/zero of="$control" bs=4M count=1 conv=notrunc status=none
	says "Invalid argument"
	{
		printf 'reset d.img\n'
		head -c 60000 /dev/zero | tr '\0' '\n'
	} >"$WORK/fits"
	dd if="$WORK/fits" of="$control" bs=64k iflag=fullblock conv=notrunc status=none
}
promise "a write longer than 64 KiB is refused, a shorter one is done as a whole" too_long

several_lines() {
	make_image e.img raw 1M
	exec 9<>"$control"
	printf 'protect e.img\nreset none\nunprotect e.img\n' >"$WORK/lines" # bash would write each line by itself
	refuses bash -c "cat '$WORK/lines' >&9"
	same "$(jq -r .errno <&9)" ENOENT
	exec 9>&-
	same "$(status_of e.img .state)" pristine
	ctl 'unprotect e.img'
}
promise "lines are done in order, up to the first that fails" several_lines

status_is_one_moment() {
	exec 9<"$MNT/.revertfs/status.json"
	local before
	before=$(status '.disks | length')
	make_image g.img raw 1M
	ctl 'protect g.img'
	same "$(jq '.disks | length' <&9)" "$before"
	exec 9<&-
	same "$(status '.disks | length')" $((before + 1))
	ctl 'unprotect g.img'
}
promise "who has the status open reads one moment of it" status_is_one_moment

the_status_of_a_pool_refresh() {
	# libvirt's pool refresh opens every regular file, reads its head, and asks for its xattrs.
	local file
	for file in "$MNT"/.revertfs/{control,status,status.json,images/d.img}; do
		head -c 4096 "$file" >/dev/null
		refuses getfattr -n security.selinux "$file"
	done
	stat -f "$MNT/.revertfs" "$control" >/dev/null
}
promise "whatever a pool's refresh opens and reads is harmless" the_status_of_a_pool_refresh

takes_no_data() {
	exec 9<>"$control"
	refuses fallocate -l 4096 "$control"
	says "Invalid argument"
	same "$(cat <&9)" ""
	exec 9>&-
}
promise "space cannot be allocated in the control file" takes_no_data

stop_daemon || fail "the daemon ends"

# EAGAIN from a filesystem beneath the mount: the daemon's own word for "this is a command" and for "this would wait" was once the same.
mkdir "$IMAGES/below"
"$BUILD/tools/unwilling" "$WORK/refused" -f "$IMAGES/below" &
wait_until 10 mountpoint -q "$IMAGES/below" || fail "a filesystem lies beneath the mount"
PASSTHROUGH=no start_daemon || fail "the daemon starts again"

no_command_by_mistake() {
	echo 'unprotect d.img' >"$WORK/line"
	refuses dd if="$WORK/line" of="$MNT/below/write" conv=notrunc status=none
	says "Resource temporarily unavailable"
	same "$(status_of d.img .state)" pristine
	same "$(cat "$WORK/refused")" write
}
promise "a write that fails with EAGAIN beneath the mount fails with EAGAIN, and is no command" no_command_by_mistake

asked_once() {
	: >"$WORK/refused"
	refuses cat "$MNT/below/open"
	says "Resource temporarily unavailable"
	refuses truncate -s 0 "$MNT/below/write"
	says "Resource temporarily unavailable"
	same "$(cat "$WORK/refused")" $'open\ntruncate'
}
promise "an open or a truncation that fails with EAGAIN beneath the mount is not tried twice" asked_once

stop_daemon || fail "the daemon ends"
