#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A user who keeps many descriptors on a large directory, or many status texts, does not have the daemon keep as many
# copies of them; and a reader whose listing was dropped meanwhile still sees each name once.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

FILES=20000 READERS=200
make_image vm.qcow2 qcow2 16M 1
python3 - "$IMAGES/u" $FILES <<'PY'
import os, sys
for n in range(int(sys.argv[2])):
    os.close(os.open("%s/a-file-with-a-name-%d" % (sys.argv[1], n), os.O_CREAT | os.O_WRONLY, 0o600))
PY
start_attacked -o protect=vm.qcow2 -o status-mode=0444

# UID DIRECTORY READERS: so many descriptors on the directory, each read to its middle, one after the other; then each to
# its end. Says how many names each saw, the least and the most, and how many of them more than once.
cat >"$WORK/read.py" <<'PY'
import ctypes, os, struct, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(32768)
def read(fd, names):
    n = libc.syscall(217, fd, buffer, len(buffer))
    at = 0
    while at < n:
        length = struct.unpack_from("H", buffer, at + 16)[0]
        names.append(buffer[at + 19:at + length].split(b"\0")[0])
        at += length
    return n > 0
readers = [(os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY), []) for _ in range(int(sys.argv[3]))]
for fd, names in readers:
    read(fd, names)
print("opened", flush=True)
sys.stdin.readline()
some = readers[::40]
for fd, names in some:
    while read(fd, names):
        pass
counts = [len(names) for fd, names in some]
print(min(counts), max(counts), sum(len(names) - len(set(names)) for fd, names in some), flush=True)
PY

resident() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(serving_pid)/status"
}

# start PROGRAM...: its output in $WORK/said; it goes on when finish is called.
start() {
	rm -f "$WORK/hold" "$WORK/said"
	mkfifo "$WORK/hold"
	"$@" <"$WORK/hold" >"$WORK/said" &
	echo $! >"$WORK/reader"
	exec 7>"$WORK/hold"
	wait_until 60 test -s "$WORK/said"
}

finish() {
	echo >&7
	exec 7>&-
	wait_until 60 has_ended "$(cat "$WORK/reader")"
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

memory_is_bounded() {
	local before after
	ls "$MNT/u" >"$WORK/names"
	before=$(resident)
	start python3 "$WORK/read.py" "$USER_A" "$MNT/u" $READERS
	after=$(resident)
	echo "$before -> $after kB" >&2
	((after - before < 32768))
	guest_write vm.qcow2 0 64k 2
	ctl "reset vm.qcow2"
	finish
	same "$(tail -n 1 "$WORK/said")" "$((FILES + 2)) $((FILES + 2)) 0"
}
promise "200 readers of a directory with 20,000 files take no 32 MiB, and each sees each name once" memory_is_bounded

cat >"$WORK/status.py" <<'PY'
import os, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
kept, refused = [], {}
for n in range(int(sys.argv[3])):
    try:
        kept.append(os.open(sys.argv[2], os.O_RDONLY))
    except OSError as error:
        refused[error.errno] = refused.get(error.errno, 0) + 1
print(len(kept), sorted(refused), flush=True)
sys.stdin.read()
PY

status_is_kept_from_one_alone() {
	ulimit -n 6000
	start python3 "$WORK/status.py" "$USER_A" "$MNT/.revertfs/status.json" 5000
	same "$(cut -d ' ' -f 2 "$WORK/said")" "[23]"
	status .version >/dev/null
	as_other cat "$MNT/.revertfs/status" >/dev/null
	finish
}
promise "who keeps the status open all too often is refused, and nobody else" status_is_kept_from_one_alone
