#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The next daemon opens again what the one before had open, and serves nobody until it has: a filesystem that does not
# answer, and leases that were taken meanwhile, keep it for a moment, and not from serving all others.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
PYTHON=$(command -pv python3) # root's own may be one that others cannot run

make_image vm.qcow2 qcow2 1M 0x11
mkdir -p "$IMAGES/hung" "$WORK/tell"
for i in {0..9}; do
	as_user touch "$IMAGES/u/leased$i"
done
echo plain >"$IMAGES/u/plain"
"$BUILD/tools/hanging" "$WORK/tell" "$IMAGES/hung" -f -o allow_other &
wait_until 10 mountpoint -q "$IMAGES/hung"
# A lease is not given for what the kernel has open itself.
PASSTHROUGH=no START=start_kept start_attacked -o protect=vm.qcow2
ctl "protect hung/disk.raw format=raw"

# hold NAME FLAGS FILE...: has them open until $WORK/NAME is a file.
cat >"$WORK/hold.py" <<'PY'
import os, sys, time
held = [os.open(name, getattr(os, sys.argv[2])) for name in sys.argv[3:]]
open(sys.argv[1] + ".held", "w").close()
while not os.path.exists(sys.argv[1]):
    time.sleep(0.02)
for fd in held:
    try:
        os.pread(fd, 1, 0)
    except OSError as e:
        print(e)
    else:
        print("read")
PY
hold() {
	"$PYTHON" "$WORK/hold.py" "$WORK/$1" "${@:2}" >"$WORK/$1.out" &
	wait_until 10 test -e "$WORK/$1.held"
}

hangs() {
	hold hung O_RDONLY "$MNT/hung/a" "$MNT/hung/b"
	hold view O_RDONLY "$MNT/.revertfs/images/hung/disk.raw"
	hold plain O_RDWR "$MNT/u/plain"
	touch "$WORK/tell/getattr" "$WORK/tell/open"
	kill_serving
	guest_reads vm.qcow2 0 1M 0x11
	same "$(grep -c "does not answer in time" "$DAEMON_LOG")" 2 # the image, and what was open
	touch "$WORK/plain" "$WORK/hung"
	wait_until 10 grep -q . "$WORK/plain.out"
	same "$(cat "$WORK/plain.out")" read
	touch "$WORK/view"
	wait_until 10 grep -q "Input/output error" "$WORK/view.out"
	rm "$WORK/tell/"*
}
promise "a file and an image of a filesystem that hangs are open, and the next daemon serves" hangs

# The daemon's own open would be in the way of a lease, so they are taken while there is none.
cat >"$WORK/lease.py" <<'PY'
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = [os.open(name, os.O_RDWR) for name in sys.argv[2:]]
def lease(fd):
    while True:
        try:
            return fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError:
            time.sleep(0.02)
for fd in held:
    lease(fd)
open(sys.argv[1] + ".leased", "w").close()
time.sleep(1000)
PY

leases() {
	local keeper old holder
	keeper=$(daemon_pid) old=$(serving_pid)
	hold leased O_RDWR "$MNT"/u/leased?
	as_user "$PYTHON" "$WORK/lease.py" "$WORK/elsewhere/x" "$IMAGES"/u/leased? &
	holder=$!
	kill -STOP "$keeper"
	kill -KILL "$old"
	wait_until 10 test -e "$WORK/elsewhere/x.leased"
	kill -CONT "$keeper"
	wait_until 20 another_serves "$old"
	guest_reads vm.qcow2 0 1M 0x11
	kill "$holder"
	touch "$WORK/leased"
}
mkdir "$WORK/elsewhere"
chown "$USER_A" "$WORK/elsewhere"
promise "leases were taken on files that are open, and the next daemon serves" leases
