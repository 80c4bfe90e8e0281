#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A filesystem beneath whose server does not answer one call stalls nobody but who made it.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
PYTHON=$(command -pv python3) # root's own may be one that others cannot run

SOON=5 # seconds
make_image vm1.img raw 4M 0x11
make_image vm2.img raw 4M 0x12
chmod 644 "$IMAGES/vm1.img"
mkdir "$IMAGES/far" "$WORK/told"
echo x >"$IMAGES/u/plain"
"$BUILD/tools/hanging" "$WORK/told" "$IMAGES/far" -f -o allow_other >"$WORK/server.log" 2>&1 &
wait_until 10 mountpoint -q "$IMAGES/far"
START=start_kept start_attacked -o protect=vm1.img -o protect=vm2.img

soon() {
	timeout $((SOON * ${SLOW:-1})) "$@" || { echo "not within $SOON s: $*" >&2; return 1; }
}

others_go_on() {
	soon cat "$MNT/.revertfs/status" >/dev/null
	soon qemu-io -f qcow2 -c 'write -q -P 0x77 0 64k' "$MNT/vm2.img"
	soon cmp "$MNT/.revertfs/images/vm1.img" "$IMAGES/vm1.img"
	soon cat "$MNT/u/plain" >/dev/null
}

waits_for_the_mount() {
	grep -q request_wait_answer "/proc/$1/stack"
}

# Only a daemon that has files passed through asks for more than the open.
waits_or_is_open() {
	waits_for_the_mount "$1" || grep -q open "$WORK/trap"
}

# The server answers the open, but not what the daemon asks about the file then.
open_hangs() {
	local pid
	"$PYTHON" -c 'import os, sys; os.open(sys.argv[1], os.O_RDWR); print("open")' "$MNT/far/trap" >"$WORK/trap" &
	pid=$!
	wait_until 10 test -e "$WORK/told/getattr"
	wait_until 10 waits_or_is_open "$pid"
	others_go_on
	rm "$WORK/told/getattr"
	wait "$pid"
}
promise "an open that hangs in a filesystem beneath keeps nobody from opening and closing" open_hangs
rm -f "$WORK/told/"* # opening it may have been asked for twice

# What is written to hangs; so all that the user may have at work on the view would, were the copies counted there.
cat >"$WORK/copy.py" <<'PY'
import os, sys, threading
mount = sys.argv[1]
pairs = [(os.open(mount + "/.revertfs/images/vm1.img", os.O_RDONLY), os.open("%s/far/f%d" % (mount, i), os.O_WRONLY)) for i in range(80)]
print(os.getpid(), flush=True)
sys.stdin.readline()
for pair in pairs:
    threading.Thread(target=os.copy_file_range, args=(*pair, 4096)).start()
PY

copies() {
	local pid
	mkfifo "$WORK/begin"
	as_other "$PYTHON" "$WORK/copy.py" "$MNT" <"$WORK/begin" >"$WORK/copy" &
	exec 9>"$WORK/begin"
	wait_until 10 test -s "$WORK/copy"
	pid=$(cat "$WORK/copy")
	touch "$WORK/told/getattr" "$WORK/told/write"
	exec 9>&-
	wait_until 10 all_copy "$pid"
	others_go_on
	as_other timeout "$((SOON * ${SLOW:-1}))" cmp "$MNT/.revertfs/images/vm1.img" "$IMAGES/vm1.img"
	rm "$WORK/told/getattr" "$WORK/told/write"
	wait "$!"
}
all_copy() {
	(($(cat "/proc/$1/task/"*/stack | grep -c request_wait_answer) >= 80))
}
promise "copies from a view to a filesystem that hangs do not occupy the view" copies
rm -f "$WORK/told/"* # else a broken promise would hold up the end
