#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever the owner of an image writes into it, when and how often he changes it: root's qemu-img opens no file for him but those that it
# was handed, and nobody learns from its words which paths there are.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

REFUSING=$BUILD/tools/refusing
SECRET=$PRIVATE/secret
image=u/evil.qcow2 raw=$IMAGES/u/evil.raw
head -c 1M </dev/zero | tr '\0' S >"$SECRET"
cp "$SECRET" "$WORK/secret"

# header innocent|hostile FILE [DATA-FILE] [SECONDS]: of a qcow2 that was made with a data file: names none, or that one, and is as old as before.
# With `flip` it changes for so long.
cat >"$WORK/header.py" <<'END'
import os, struct, sys, time
mode, path = sys.argv[1:3]
name = (sys.argv[3] if len(sys.argv) > 3 else "").encode()
was = os.stat(path)
fd = os.open(path, os.O_RDWR)
header = bytearray(os.pread(fd, 512, 0))
length = struct.unpack(">I", header[100:104])[0]
innocent = bytearray(header)
innocent[72:80] = innocent[88:96] = bytes(8)
innocent[length:length + 256] = bytes(256)
hostile = bytearray(innocent)
hostile[72:80] = struct.pack(">Q", 4)
hostile[88:96] = struct.pack(">Q", 2)
extension = struct.pack(">II", 0x44415441, len(name)) + name + bytes(-len(name) % 8) + bytes(8)
hostile[length:length + len(extension)] = extension
if mode == "flip":
    until = time.monotonic() + float(sys.argv[4])
    while time.monotonic() < until:
        for form in hostile, innocent:
            os.pwrite(fd, form, 0)
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
            time.sleep(0.002)
else:
    os.pwrite(fd, hostile if mode == "hostile" else innocent, 0)
os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
END
chmod 644 "$WORK/header.py"

header() {
	PATH=/usr/bin:/bin as_user python3 "$WORK/header.py" "$@" # a python3 of root's own is not for him
}

# An open of the secret that succeeds is written to $WORK/opens, as long as this runs.
cat >"$WORK/watch.py" <<'END'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init()
IN_OPEN = 0x20
assert libc.inotify_add_watch(fd, sys.argv[1].encode(), IN_OPEN) >= 0
print("ready", file=open(sys.argv[2], "a"), flush=True)
while os.read(fd, 4096):
    print("opened", file=open(sys.argv[2], "a"), flush=True)
END
python3 "$WORK/watch.py" "$SECRET" "$WORK/opens" &
wait_until 20 test -s "$WORK/opens" || fail "opens of the secret are watched"

nobody_opened_it() {
	same "$(cat "$WORK/opens")" ready
}

unharmed() {
	nobody_opened_it
	# What follows is an open itself.
	tail -c +1 "$SECRET" | cmp - "$WORK/secret"
	wait_until 10 grep -q opened "$WORK/opens"
	echo ready >"$WORK/opens"
}

# An image with a data file's header, made innocent, and protected.
evil_image() {
	(cd "$IMAGES/u" && as_user qemu-img create -q -f qcow2 -o data_file="$raw",data_file_raw=on "$IMAGES/$image" 1M) >&2
	header innocent "$IMAGES/$image"
	member_ctl "protect $image"
}

start_attacked || fail "the daemon starts"
boxed=$(status .boxed)

the_watch_sees() {
	head -c 1 "$SECRET"
	wait_until 10 grep -q opened "$WORK/opens"
	echo ready >"$WORK/opens"
}
promise "an open of the secret would be seen" the_watch_sees

# ---- the header is changed behind the daemon's back

an_export_of_a_changed_header() {
	evil_image
	header hostile "$IMAGES/$image" "$SECRET"
	member_ctl_fails EBADMSG "export $image to=$OUT/leak format=raw" "its qcow2 header names an external data file"
	[[ ! -e $OUT/leak ]]
	unharmed
}
promise "an image whose header was changed to name root's file is not exported" an_export_of_a_changed_header

a_fold_into_a_changed_header() {
	header innocent "$IMAGES/$image"
	ctl "set $image keep-revisions=1"
	guest_write "$image" 0 64k 0x41
	ctl "commit $image"
	header hostile "$IMAGES/$image" "$SECRET"
	ctl "set $image keep-revisions=0"
	ctl_fails EBADMSG "fold $image" "its qcow2 header names an external data file"
	unharmed
	header innocent "$IMAGES/$image"
	ctl "fold $image" || job_is_done "$image"
	qemu_io -r -f qcow2 -c "read -q -P 0x41 0 64k" "$IMAGES/$image"
}
promise "... nor is a fold written into it; mended by its owner, it is folded" a_fold_into_a_changed_header

# Between the look and the run: qemu-img sees the hostile header, and may not obey.
a_race() {
	local flipper tries=0 before
	before=$(grep -c "qemu-img convert failed.*Permission denied" "$DAEMON_LOG" || :)
	header flip "$IMAGES/$image" "$SECRET" $((4 * SLOW)) &
	flipper=$!
	while kill -0 $flipper 2>/dev/null; do
		member_ctl "export $image to=$OUT/race format=raw replace=yes" >>"$WORK/answers" || :
		tries=$((tries + 1))
	done
	echo "$tries tries, of which $(($(grep -c "qemu-img convert failed.*Permission denied" "$DAEMON_LOG") - before)) saw the hostile header" >&2
	header innocent "$IMAGES/$image"
	unharmed
	! grep -F "$PRIVATE" "$WORK/answers" || return 1
}
if [[ $boxed != false ]]; then
	promise "a header that changes all the time gets nothing opened" a_race
else
	skip "a header that changes all the time gets nothing opened: this kernel has no Landlock"
fi

a_race_with_protect() {
	local flipper
	ctl "unprotect $image"
	header flip "$IMAGES/$image" "$SECRET" $((2 * SLOW)) &
	flipper=$!
	while kill -0 $flipper 2>/dev/null; do
		member_ctl "protect $image" >>"$WORK/answers" || :
		member_ctl "unprotect $image" >>"$WORK/answers" || :
	done
	header innocent "$IMAGES/$image"
	unharmed
	! grep -F "$PRIVATE" "$WORK/answers" || return 1
}
promise "... nor while it is being protected" a_race_with_protect

# ---- other formats

# vmdk FILE PATH: a descriptor that names a path.
vmdk() {
	as_user tee "$IMAGES/u/$1" >/dev/null <<-END
		# Disk DescriptorFile
		version=1
		CID=fffffffe
		parentCID=ffffffff
		createType="monolithicFlat"

		# Extent description
		RW 2048 FLAT "$2" 0

		# The Disk Data Base
		ddb.virtualHWVersion = "4"
		ddb.adapterType = "ide"
		ddb.geometry.cylinders = "4"
		ddb.geometry.heads = "16"
		ddb.geometry.sectors = "63"
	END
}

a_descriptor_that_names_files() {
	local path answer=
	for path in "$SECRET" "$PRIVATE/absent"; do
		vmdk y.qcow2 "$path"
		member_ctl_fails EINVAL "protect u/y.qcow2" "looks like VMDK, not raw or qcow2; convert it with qemu-img convert" 2>"$WORK/said"
		member_ctl "protect u/y.qcow2" >"$WORK/answer" && return 1
		[[ ! $answer ]] || same "$(cat "$WORK/answer")" "$answer"
		answer=$(cat "$WORK/answer")
	done
	! grep -F "$PRIVATE" <<<"$answer" || return 1
	unharmed
}
promise "a VMDK descriptor is refused by name, and tells nobody which paths there are" a_descriptor_that_names_files

make_luks() {
	qemu-img create -q -f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 "$IMAGES/other.luks" 4M 2>/dev/null
}

other_formats() {
	local format
	for format in vmdk vdi vpc vhdx qed qcow parallels; do
		qemu-img create -q -f "$format" "$IMAGES/other.$format" 4M
		ctl_fails EINVAL "protect other.$format" "convert it with qemu-img convert"
		ctl_fails EINVAL "protect other.$format format=qcow2"
	done
	wait_until 20 make_luks # which measures the processor, and now and then cannot
	ctl_fails EINVAL "protect other.luks" "looks like LUKS"
	# A guest may have made it on its disk: the administrator knows.
	ctl "protect other.luks format=raw"
	ctl "unprotect other.luks"
}
promise "so are the other formats that qemu-img knows; format=raw is the administrator's word" other_formats

# ---- where there is no box

# A daemon that is started by "refusing", as $PROGRAM.
refusing() {
	cat >"$WORK/refusing" <<-END
		#!/bin/bash
		exec "$REFUSING" $1 "$REVERTFS" "\$@"
	END
	chmod +x "$WORK/refusing"
	stop_daemon
	PROGRAM=$WORK/refusing start_attacked "${@:2}"
	same "$(status .boxed)" false
}

without_landlock() {
	refusing 38 # ENOSYS
	grep -q "this kernel has no Landlock: qcow2 images that others than root may write are not folded or exported" "$DAEMON_LOG"
	ctl "protect $image"
	member_ctl_fails EACCES "export $image to=$OUT/x format=raw" "make it root's"
	member_ctl_fails EACCES "export $image to=$OUT/x.qcow2" "make it root's"
	guest_write "$image" 0 64k 0x42
	ctl "commit $image"
	ctl_fails EACCES "fold $image" "others than root may write"
	chown 0:0 "$IMAGES/$image"
	ctl "fold $image"
	qemu_io -r -f qcow2 -c "read -q -P 0x42 0 64k" "$MNT/$image"
	as_user test -r "$IMAGES/$image"
	# A directory that only root may search hides it, too.
	make_image plain.qcow2 qcow2 1M 3
	ctl "protect plain.qcow2"
	chown "$USER_A" "$IMAGES/plain.qcow2"
	ctl_fails EACCES "export plain.qcow2 to=$WORK/x format=raw"
	chmod 700 "$IMAGES"
	ctl "export plain.qcow2 to=$WORK/x format=raw"
	chmod 755 "$IMAGES"
	ctl "unprotect plain.qcow2"
}
promise "without Landlock an image that others may write is refused to qemu-img, one of root's is not" without_landlock

unboxed() {
	refusing 38 -o unboxed=yes
	grep -q "unboxed=yes: qemu-img runs with all of root's rights" "$DAEMON_LOG"
	chown "$USER_A" "$IMAGES/$image"
	member_ctl "export $image to=$OUT/unboxed format=raw"
	header hostile "$IMAGES/$image" "$SECRET"
	member_ctl_fails EBADMSG "export $image to=$OUT/leak format=raw" "its qcow2 header names an external data file"
	header innocent "$IMAGES/$image"
	unharmed
}
promise "unboxed=yes gives it to qemu-img all the same; the header is looked at still" unboxed

forbidden() {
	refusing 1 # EPERM
	grep -q "a filter of system calls around this daemon forbids Landlock" "$DAEMON_LOG"
	member_ctl_fails EPERM "export $image to=$OUT/x format=raw" "must allow landlock_create_ruleset"
	"$REVERTCTL" doctor --json >"$WORK/found" || :
	jq -e 'any(.findings[]; .level == "warning" and .check == "tools" and (.what | contains("does not run in a box")))' "$WORK/found"
	stop_daemon
}
promise "a filter that forbids Landlock is an error, not a kernel without it" forbidden
