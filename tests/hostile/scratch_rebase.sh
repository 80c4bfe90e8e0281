#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold gives scratches another backing file, by a qemu-img that runs as root and opens what a header names. A QEMU that a guest has
# broken out of may have named anything there: such a scratch is kept in lost/ as it is, and the fold neither shows it to qemu-img nor
# waits for what it names.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

make_image u/vm.img raw 4M 1
chown "$USER_A:$USER_A" "$IMAGES/u/vm.img"
head -c 1M /dev/urandom >"$PRIVATE/secret"
echo not a disk >"$IMAGES/u/plain"

# launch [OPTION...]
launch() {
	start_attacked "$@"
	status_of u/vm.img .name | grep -q . || ctl 'protect u/vm.img'
	ctl 'set u/vm.img keep-revisions=1'
}

# point_to FILE: the owner of the scratch puts an external data file into its header, through the mount.
point_to() {
	as_user env PATH="/usr/bin:$PATH" python3 - "$MNT/u/vm.img" "$1" <<'END'
import struct, sys
name = sys.argv[2].encode()
with open(sys.argv[1], "r+b") as f:
    header = bytearray(f.read(65536))
    at, = struct.unpack_from(">Q", header, 8)
    length, = struct.unpack_from(">I", header, 16)
    end, = struct.unpack_from(">I", header, 100)
    backing = header[at:at + length]
    extension = struct.pack(">II", 0x44415441, len(name)) + name + b"\0" * (-len(name) % 8)
    new = extension + header[end:at] + backing
    struct.pack_into(">Q", header, 8, at + len(extension))
    header[79] |= 4
    f.seek(0)
    f.write(header[:end] + new)
END
}

# What the guest has written, as root sees it; the scratch is the only file in lost/ then.
lost_is_as_it_was() {
	same "$(find "$STATE/lost" -type f | wc -l)" 1
	cmp -n 65536 "$(find "$STATE/lost" -type f)" "$WORK/header"
	rm -f "$STATE"/lost/*
}

# foreign_scratch FILE PATTERN: a commit that waits to be folded, and above it what a broken-out QEMU left.
foreign_scratch() {
	guest_write u/vm.img 0 64k "$2"
	ctl 'commit u/vm.img'
	as_user qemu-io -f qcow2 -c "write -q -P 9 1M 64k" "$MNT/u/vm.img"
	point_to "$1"
	ctl_fails EBADMSG 'commit u/vm.img' "its header names an external data file"
	head -c 65536 "$STATE/disks/u%2Fvm.img/scratch.qcow2" >"$WORK/header"
}

begins_afresh() {
	lost_is_as_it_was
	same "$(status_of u/vm.img .state)" pristine
	same "$(status_of u/vm.img '.layers | length')" 1
	guest_reads u/vm.img 0 64k "$1"
	guest_reads u/vm.img 1M 64k 1
	image_reads u/vm.img raw 0 64k "$1"
	check_scratch u/vm.img
}

is_folded() {
	job_is_done u/vm.img && same "$(status_of u/vm.img '.layers | length')" 1
}

kept_in_lost() {
	launch
	sha256sum "$PRIVATE/secret" >"$WORK/secret.sum"
	foreign_scratch "$PRIVATE/secret" 2
	ctl 'set u/vm.img keep-revisions=0' # which has the worker fold
	wait_until 60 is_folded
	begins_afresh 2
	grep -q "'u/vm.img': its scratch has a header that revertfs did not write; .* moved to lost/" "$DAEMON_LOG"
	sha256sum --quiet -c "$WORK/secret.sum"
}
promise "a scratch whose header names a data file is kept in lost/, not given another backing file" kept_in_lost

# qemu-img would wait for the open, the open for the fold, and the fold for qemu-img: until qemu-timeout.
no_deadlock() {
	ctl 'reset u/vm.img force=yes'
	rm -f "$STATE"/lost/*
	ctl 'set u/vm.img keep-revisions=1'
	foreign_scratch "$MNT/u/vm.img" 3
	ctl 'set u/vm.img keep-revisions=0'
	ctl 'fold u/vm.img'
	begins_afresh 3
	! grep -q "hangs and cannot be killed" "$DAEMON_LOG"
}
promise "one whose data file is the disk itself does not hold the fold up" no_deadlock

# Where lost/ cannot take it, nothing is folded, and nothing of the scratch is lost.
elsewhere() {
	stop_daemon
	mkdir -p "$WORK/scratches" && mount -t tmpfs -o size=16m none "$WORK/scratches"
	ctl 'reset u/vm.img' 2>/dev/null || :
	launch -o scratch="$WORK/scratches"
	guest_write u/vm.img 0 64k 4
	ctl 'commit u/vm.img'
	as_user qemu-io -f qcow2 -c "write -q -P 9 1M 64k" "$MNT/u/vm.img"
	point_to "$PRIVATE/secret"
	cp "$WORK/scratches/"*vm.img* "$WORK/kept"
	ctl 'set u/vm.img keep-revisions=0'
	ctl_fails EXDEV 'fold u/vm.img' "move it away by hand"
	same "$(status_of u/vm.img .folding)" false
	cmp "$WORK/scratches/"*vm.img* "$WORK/kept"
	ctl 'reset u/vm.img force=yes'
	ctl 'fold u/vm.img'
	image_reads u/vm.img raw 0 64k 4
}
promise "where it cannot be moved, the fold waits and says what to do" elsewhere
