#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where the daemon reads and writes files itself, the data that one user moves keeps nobody else from his, and is not lost.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
PYTHON=$(command -pv python3) # root's own may be one that others cannot run

make_image vm1.img raw 4M 0x11
chmod 644 "$IMAGES/vm1.img"
mkdir "$IMAGES/far" "$WORK/told"
"$BUILD/tools/hanging" "$WORK/told" "$IMAGES/far" -f -o allow_other >"$WORK/server.log" 2>&1 &
wait_until 10 mountpoint -q "$IMAGES/far"
PASSTHROUGH=no START=start_kept start_attacked -o protect=vm1.img

# Threads that all write a MiB at a time to the disk itself; what became of it, as a line.
cat >"$WORK/write.py" <<'PY'
import collections, mmap, os, sys, threading
directory, count, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
block = mmap.mmap(-1, 1 << 20)
files = [os.open("%s/w%d" % (directory, i), os.O_RDWR | os.O_CREAT | os.O_DIRECT | os.O_DSYNC, 0o600) for i in range(count)]
all_are_there = threading.Barrier(count)
results = collections.Counter()
def write(file):
    all_are_there.wait()
    for i in range(rounds):
        try:
            results["short" if os.pwrite(file, block, 0) < len(block) else "written"] += 1
        except OSError as e:
            results[os.strerror(e.errno)] += 1
threads = [threading.Thread(target=write, args=(file,)) for file in files]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(dict(results))
PY

# The daemon gets memory for a thread more than it has, but not for what that reads into.
no_memory() {
	local pid size
	pid=$(serving_pid)
	size=$(awk '/VmSize/ { print $2 }' "/proc/$pid/status")
	prlimit --pid "$pid" --as="$(((size + 768) * 1024)):"
	same "$(as_user "$PYTHON" "$WORK/write.py" "$MNT/u" 60 3)" "{'written': 180}"
	prlimit --pid "$pid" --as=unlimited:
	same "$(serving_pid)" "$pid"
}
if [[ ${SLOW:-1} == 1 ]]; then
	promise "want of memory is waited for: no write fails, and the mount does not end" no_memory
else
	skip "want of memory: a sanitizer's own is without end"
fi

much_is_written() {
	same "$(as_user "$PYTHON" "$WORK/write.py" "$MNT/u" 200 2)" "{'written': 400}"
}
promise "of two hundred writes at a time none is refused" much_is_written

# A hundred pages that are read ahead, each by a request that nobody waits for.
cat >"$WORK/ahead.py" <<'PY'
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
print(os.getpid(), flush=True)
sys.stdin.readline()
for i in range(100):
    os.posix_fadvise(file, 8192 * i, 4096, os.POSIX_FADV_WILLNEED)
PY

reads_ahead() {
	local reader
	mkfifo "$WORK/begin"
	as_other "$PYTHON" "$WORK/ahead.py" "$MNT/far/file" <"$WORK/begin" >"$WORK/ahead" &
	reader=$!
	exec 9>"$WORK/begin"
	wait_until 10 test -s "$WORK/ahead"
	exec 8<>"$MNT/vm1.img"
	touch "$WORK/told/read"
	exec 9>&-
	wait_until 10 has_asked "$(cat "$WORK/ahead")"
	exec 8>&-
	timeout "$((5 * ${SLOW:-1}))" cmp "$MNT/.revertfs/images/vm1.img" "$IMAGES/vm1.img"
	ctl "reset vm1.img"
	rm "$WORK/told/read"
	wait "$reader"
}
# It has asked for all, and waits to close the file; or it waits to ask for more.
has_asked() {
	grep -qE 'request_wait_answer|fuse_get_req' "/proc/$1/stack"
}
promise "what one user reads ahead on a filesystem that hangs keeps nobody from reading and closing" reads_ahead
rm -f "$WORK/told/"*

stop_daemon || fail "the daemon ends"
