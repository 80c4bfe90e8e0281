#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A filesystem that a user serves himself is refused before anything there is waited for: whoever waits for an answer
# that has been asked for cannot be killed, and no other daemon could take over.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

mkdir "$IMAGES/u/mine"
echo plain >"$IMAGES/u/plain"

# Mounted by root as fusermount(1) does it for a user, and never answered.
cat >"$WORK/serve.py" <<'PY'
import ctypes, os, sys, time
fd = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=%s,group_id=%s,allow_other" % (fd, sys.argv[2], sys.argv[2])
if ctypes.CDLL(None, use_errno=True).mount(b"his", sys.argv[1].encode(), b"fuse.his", 0, options.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
time.sleep(1000)
PY
python3 "$WORK/serve.py" "$IMAGES/u/mine" "$USER_A" &
SERVER=$!
wait_until 10 grep -qF "$IMAGES/u/mine" /proc/self/mountinfo || fail "a user's filesystem is mounted"
START=start_kept start_attacked -o 'protect=*.img'

is_refused() {
	local name
	for name in mine mine/file mine; do
		refuses timeout -s KILL 10 stat "$MNT/u/$name"
		says "Permission denied"
	done
	same "$(grep -c "'mine' is a FUSE filesystem that user $USER_A serves" "$DAEMON_LOG")" 1
	same "$(cat "$MNT/u/plain")" plain
}
promise "a filesystem that a user serves is refused, which the log says once" is_refused
no_image_is_there() {
	refuses timeout -s KILL 10 bash -c 'ctl "protect u/mine/x.img format=raw"'
	says "Permission denied"
	grep -q "cannot look for images in 'u/mine': Permission denied" "$DAEMON_LOG"
}
export -f ctl
export MNT WORK
promise "nor is an image looked for there, at start or when it is to be protected" no_image_is_there
promise "and the daemon can be killed" kill_serving
kill "$SERVER"
