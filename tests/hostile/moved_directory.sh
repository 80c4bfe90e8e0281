#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A user who moves his directory out of the images directory, while he works in it, takes nothing along: names in it
# lead to no disk, whether the daemon has seen him move it, or a later one looks for where it lies, or a directory of
# that name is made. The same where his directory is too deep to be found again.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
PYTHON=$(command -pv python3) # root's own may be one that others cannot run

make_image vm.qcow2 qcow2 1M 0x11
mkdir -p "$IMAGES/private" "$IMAGES/u/d" "$IMAGES/u/e" "$WORK/elsewhere"
make_image private/p.raw raw 1M 0x22
chmod 700 "$IMAGES/private"
chmod 644 "$IMAGES/private/p.raw"
chown "$USER_A:$USER_A" "$IMAGES/u/d" "$IMAGES/u/e" "$WORK/elsewhere"
START=start_kept start_attacked -o protect=vm.qcow2 -o protect=private/p.raw
wait_until 10 test -e "$MNT/.revertfs/images/private/p.raw"
ctl "clone vm.qcow2 clone.qcow2"

# He stands in a directory, so that the kernel goes on knowing it, and reads, removes and lists there when he is told.
cat >"$WORK/stand.py" <<'PY'
import os, sys, time
mount, notes, depth = sys.argv[1], sys.argv[2], int(sys.argv[3])
os.chdir(mount)
for i in range(depth):
    os.mkdir("x" * 250)
    os.chdir("x" * 250)
def attempt(what, call):
    try:
        print(what, call())
    except OSError as e:
        print(what, "refused", e.errno)
def steal():
    attempt("mkdir", lambda: os.mkdir("private"))
    for name in ("private/p.raw", "clone.qcow2", "p.raw"):
        attempt("read " + name, lambda: open(name, "rb").read(4))
    for name in ("clone.qcow2", "private/p.raw"):
        attempt("unlink " + name, lambda: os.unlink(name))
    attempt("list", lambda: os.listdir("."))
open(notes + ".stands", "w").close()
while not os.path.exists(notes + ".go"):
    time.sleep(0.02)
sys.stdout = open(notes + ".out", "w")
steal()
sys.stdout.close()
open(notes + ".done", "w").close()
PY

# stand NAME DIRECTORY [DEPTH]; steals NAME: what came of it is in $WORK/elsewhere/NAME.out.
stand() {
	as_user "$PYTHON" "$WORK/stand.py" "$MNT/$2" "$WORK/elsewhere/$1" "${3:-0}" &
	wait_until 10 test -e "$WORK/elsewhere/$1.stands"
}

steals_nothing() {
	touch "$WORK/elsewhere/$1.go"
	wait_until 10 test -e "$WORK/elsewhere/$1.done"
	refuses grep -e "^read.* b'" -e '^unlink.* None' -e '^list.*\.raw' -e '^list.*\.qcow2' "$WORK/elsewhere/$1.out"
	same "$(grep -c '^read.*refused' "$WORK/elsewhere/$1.out")" 3
	[[ -e $MNT/clone.qcow2 ]]
}

# The moves are made beneath the mount.
stand_in_them() {
	refuses as_user cat "$MNT/private/p.raw"
	stand moved u/d
	stand met u/e
	stand deep u 20
	as_user mv "$IMAGES/u/d" "$IMAGES/u/e" "$WORK/elsewhere"
}

meets_another() {
	mkdir -m 700 "$IMAGES/u/e"
	make_image u/e/p.raw raw 1M 0x33
	ctl "protect u/e/p.raw format=raw"
	steals_nothing met
}

next_daemon_serves() {
	kill_serving
	guest_reads vm.qcow2 0 1M 0x11
	same "$(status .restarts)" 1
}

promise "he stands in directories that were moved out, and in a deep one" stand_in_them
promise "the name of a directory that was moved out belongs to who has it now" meets_another
promise "the next daemon serves all the same" next_daemon_serves
promise "a directory that it cannot find in the images directory leads nowhere" steals_nothing moved
promise "one that is too deep to be found leads to nothing of others" steals_nothing deep
