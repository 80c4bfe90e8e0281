#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One user, or one filesystem beneath that hangs, stalls nobody else: the status, verbs, other disks and the hook go on.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
need qemu-storage-daemon
PYTHON=$(command -pv python3) # root's own may be one that others cannot run

SOON=5 # seconds; where threads are used up it takes 13 to 43, or for ever

make_image vm1.img raw 4M 0x11
make_image vm2.img raw 4M 0x12
make_image later.img raw 4M 0x13
truncate -s 4M "$WORK/behind1" "$WORK/behind2" "$IMAGES/hung.img" "$IMAGES/u/hung"

# Two files of a filesystem whose server can be stopped: an image, and a file of the user's.
(qemu-storage-daemon --pidfile "$WORK/server.pid" \
	--blockdev "driver=file,node-name=f1,filename=$WORK/behind1" --blockdev "driver=file,node-name=f2,filename=$WORK/behind2" \
	--export "type=fuse,id=e1,node-name=f1,mountpoint=$IMAGES/hung.img,writable=on,growable=on,allow-other=on" \
	--export "type=fuse,id=e2,node-name=f2,mountpoint=$IMAGES/u/hung,writable=on,growable=on,allow-other=on" \
	</dev/null >"$WORK/server.log" 2>&1; echo "exit $?" >>"$WORK/server.log" ) &
mounted() {
	mountpoint -q "$IMAGES/hung.img" && mountpoint -q "$IMAGES/u/hung"
}
wait_until 20 mounted || { skip "stall: qemu-storage-daemon has no FUSE exports"; exit 0; }

START=start_kept start_attacked -o protect=vm1.img -o protect=vm2.img -o protect=hung.img
chmod 666 "$IMAGES/u/hung"

server() {
	kill "-$1" "$(cat "$WORK/server.pid")"
}

# The kernel remembers attributes for a second, and answers from that.
soon() {
	timeout $((SOON * ${SLOW:-1})) "$@" || { echo "not within $SOON s: $*" >&2; return 1; }
}
export -f ctl
export MNT WORK
soon_ctl() {
	soon bash -c "ctl '$1'"
}

# Everything that must go on.
others_go_on() {
	soon cat "$MNT/.revertfs/status" "$MNT/.revertfs/status.json" >/dev/null
	soon_ctl "reset vm1.img"
	soon_ctl "prepare 11111111-2222-3333-4444-555555555555 domain=a vm2.img target=vda source=$MNT/vm2.img"
	soon_ctl "release 11111111-2222-3333-4444-555555555555 domain=a reason=shutdown vda source=$MNT/vm2.img"
	soon_ctl "protect later.img format=raw"
	soon_ctl "clone vm1.img clone.img"
	soon rm "$MNT/clone.img"
	soon_ctl "unprotect later.img"
	soon cmp "$MNT/.revertfs/images/vm1.img" "$IMAGES/vm1.img"
	soon ls "$MNT/.revertfs/images" >/dev/null
	soon qemu-io -f qcow2 -c 'write -q -P 0x77 0 64k' "$MNT/vm2.img"
	as_other timeout "$((SOON * ${SLOW:-1}))" ls "$MNT" >/dev/null
	as_user timeout "$((SOON * ${SLOW:-1}))" ls "$MNT" >/dev/null # the kernel holds a lock meanwhile, which others need
	soon mkdir "$MNT/new"
	soon rmdir "$MNT/new"
}

cat >"$WORK/threads.py" <<'PY'
import os, sys, threading, time
count, call, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
calls = {"stat": lambda f: os.fstat(f), "open": lambda f: os.close(os.open(path, os.O_RDONLY)), "chmod": lambda f: os.chmod(path, 0o600)}
f = os.open(path, os.O_PATH)
print(os.getpid(), flush=True)
while not os.path.exists(sys.argv[4]):
    time.sleep(0.02)
def again_and_again():  # the kernel answers from what it remembers for a second
    while True:
        calls[call](f)
for i in range(count):
    threading.Thread(target=again_and_again).start()
PY

# Sixteen leases, each of which an open waits for until lease-break-time is over.
cat >"$WORK/leases.py" <<'PY'
import fcntl, os, signal, sys, threading
images, mnt = sys.argv[1], sys.argv[2]
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = []
for i in range(24):
    held.append(os.open("%s/u/l%d" % (images, i), os.O_RDWR | os.O_CREAT, 0o600))
    fcntl.fcntl(held[-1], fcntl.F_SETLEASE, fcntl.F_WRLCK)
for i in range(24):
    threading.Thread(target=os.open, args=("%s/u/l%d" % (mnt, i), os.O_RDONLY), daemon=True).start()
print("opened", flush=True)
sys.stdin.readline()
os._exit(0)
PY

leases() {
	local holder
	mkfifo "$WORK/end"
	as_user "$PYTHON" "$WORK/leases.py" "$IMAGES" "$MNT" <"$WORK/end" >"$WORK/leases.out" &
	holder=$!
	exec 9>"$WORK/end"
	wait_until 10 grep -q opened "$WORK/leases.out"
	others_go_on
	exec 9>&-
	wait "$holder" || :
}
promise "leases on the files of one user stall nobody else" leases

# hanging WHO COUNT CALL FILE: a process whose threads all make the call when $WORK/begin is there; its pid in $WORK/hanging.
hanging() {
	local who=$1
	shift
	"$who" "$PYTHON" "$WORK/threads.py" "$@" "$WORK/begin" >>"$WORK/hanging" 2>>"$WORK/hanging.err" &
}

# Of each process, a thread waits for the mount.
all_hang() {
	local pid
	while read -r pid; do
		cat "/proc/$pid/task/"*/stack | grep -q request_wait_answer || return
	done <"$WORK/hanging"
}

hangs() {
	: >"$WORK/hanging"
	chown "$USER_A" "$IMAGES/u/hung"
	hanging as_user 40 stat "$MNT/u/hung"
	hanging as_other 40 open "$MNT/u/hung"
	hanging command 40 open "$MNT/.revertfs/images/hung.img"
	hanging as_user 2 chmod "$MNT/u/hung"
	as_user "$PYTHON" "$WORK/threads.py" 1 stat "$MNT/u/hung" "$WORK/later" >"$WORK/parked" &
	wait_until 10 all_opened
	server STOP
	touch "$WORK/begin"
	wait_until 10 all_hang
	others_go_on
}
all_opened() {
	(($(wc -l <"$WORK/hanging") == 4)) && [[ -s $WORK/parked ]]
}
promise "a filesystem that hangs beneath an image and a user's file stalls nobody else" hangs

waits_for_the_mount() {
	cat "/proc/$1/task/"*/stack | grep -q request_wait_answer
}

# All that its user may have at work hangs already, so this waits without being worked on.
parked_is_killed() {
	local pid
	pid=$(cat "$WORK/parked")
	touch "$WORK/later"
	wait_until 10 waits_for_the_mount "$pid"
	kill -KILL "$pid"
	wait_until 20 is_gone "$pid"
}
is_gone() {
	! kill -0 "$1" 2>/dev/null
}
promise "who waits for its turn on the filesystem that hangs can be killed" parked_is_killed

restart_under_it() {
	local old
	old=$(serving_pid)
	kill -USR1 "$old"
	wait_until 20 another_serves "$old"
	others_go_on
}
promise "the daemon is replaced while requests hang" restart_under_it

killed() {
	local pids=()
	mapfile -t pids <"$WORK/hanging"
	kill -KILL "${pids[@]}"
	server CONT
	wait_until 20 all_gone
}
all_gone() {
	local pid
	while read -r pid; do
		is_gone "$pid" || return
	done <"$WORK/hanging"
}
promise "all ends when the filesystem goes on" killed

# Each reset of a disk that is open for writing takes two seconds. With a second argument, the member is that uid; he opens
# the control file, and root writes, as a program does that is setuid root and complains in his words.
cat >"$WORK/flood.py" <<'PY'
import os, sys, threading
if len(sys.argv) > 2:
    os.seteuid(int(sys.argv[2]))
controls = [os.open(sys.argv[1] + "/.revertfs/control", os.O_RDWR) for i in range(300)]
if len(sys.argv) > 2:
    os.seteuid(0)
def ask(control):
    try:
        os.write(control, b"reset vm2.img\n")
    except OSError:
        pass
print(os.getpid(), flush=True)
for control in controls:
    threading.Thread(target=ask, args=(control,)).start()
PY

all_commands_wait() {
	(($(cat "/proc/$1/task/"*/stack | grep -c request_wait_answer) >= 250))
}

# as_setuid COMMAND...: root, in the groups of a member.
as_setuid() {
	setpriv --regid "$MEMBER" --groups "$CONTROL_GROUP" -- "$@"
}

# flooded WHO [UID]
flooded() {
	local pid
	exec 8<>"$MNT/vm2.img"
	: >"$WORK/flood"
	"$1" "$PYTHON" "$WORK/flood.py" "$MNT" "${@:2}" >"$WORK/flood" 8>&- &
	wait_until 10 test -s "$WORK/flood"
	pid=$(cat "$WORK/flood")
	wait_until 20 all_commands_wait "$pid"
	soon_ctl "reset vm1.img"
	soon_ctl "prepare 11111111-2222-3333-4444-555555555555 domain=a vm1.img target=vda source=$MNT/vm1.img"
	soon_ctl "release 11111111-2222-3333-4444-555555555555 domain=a reason=shutdown vda source=$MNT/vm1.img"
	soon cat "$MNT/.revertfs/status" >/dev/null
	all_commands_wait "$pid"
	exec 8>&-
	kill -KILL "$pid"
	wait_until 30 is_gone "$pid"
}
promise "three hundred commands of a member keep neither root's nor the hook's out" flooded as_member
promise "nor do those that setuid programs write for him" flooded as_setuid "$MEMBER"

stop_daemon || fail "the daemon ends"
