#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A user who has the kernel know more files than the daemon may have descriptors, or opens as many, keeps nobody else
# out; and when he has gone, they are given back.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

LIMIT=2000 UUID=11111111-2222-3333-4444-555555555555
make_image vm.qcow2 qcow2 16M 1
make_image other.qcow2 qcow2 16M 2
for i in $(seq 12); do
	make_image "d$i.raw" raw 1M 1
	chmod 644 "$IMAGES/d$i.raw"
done
python3 - "$IMAGES/u" "$USER_A" $((LIMIT + 1000)) <<'PY'
import os, sys
for n in range(int(sys.argv[3])):
    fd = os.open("%s/%d" % (sys.argv[1], n), os.O_CREAT | os.O_WRONLY, 0o600)
    os.fchown(fd, int(sys.argv[2]), int(sys.argv[2]))
PY
ulimit -n $((LIMIT * 4)) # of this test's own programs
# Without the capability, root cannot raise the limit either.
cat >"$WORK/limited" <<END
#!/bin/bash
ulimit -n $LIMIT
exec setpriv --bounding-set=-sys_resource "${PROGRAM:-$REVERTFS}" "\$@"
END
chmod 755 "$WORK/limited"
PROGRAM=$WORK/limited START=start_kept start_attacked -o protect=vm.qcow2 -o 'protect=*.raw'

# UID DIRECTORY COUNT FLAG: open as many of its files as the user gets, say how many, and keep them until stdin ends.
cat >"$WORK/grab.py" <<'PY'
import os, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
kept, refused = [], {}
for n in range(int(sys.argv[3])):
    try:
        kept.append(os.open("%s/%d" % (sys.argv[2], n), getattr(os, sys.argv[4])))
    except OSError as error:
        refused[error.errno] = refused.get(error.errno, 0) + 1
print(len(kept), sorted(refused), flush=True)
sys.stdin.read()
PY
grab() {
	grab_with grab.py "$USER_A" "$MNT/u" $((LIMIT + 1000)) "$1"
}

grab_with() {
	local program=$1
	shift
	rm -f "$WORK/hold" "$WORK/grabbed"
	mkfifo "$WORK/hold"
	python3 "$WORK/$program" "$@" <"$WORK/hold" >"$WORK/grabbed" &
	echo $! >"$WORK/grabber"
	exec 7>"$WORK/hold"
	wait_until 60 test -s "$WORK/grabbed"
	cat "$WORK/grabbed" >&2
}

let_go() {
	exec 7>&-
	wait_until 20 has_ended "$(cat "$WORK/grabber")"
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

descriptors() {
	find "/proc/$(serving_pid)/fd" -mindepth 1 | wc -l
}

# Up to half of what he may have, 5/16 / 2 / 2, stays known to the kernel: where he closes his files while they are being
# given back already, that may be what is left. The daemon has some sixty of its own.
few_descriptors() {
	(($(descriptors) < LIMIT / 8))
}

# What root, the hook and other users must be able to do whatever happens.
others_go_on() {
	ls "$MNT" "$MNT/u" >/dev/null
	as_other ls "$MNT" >/dev/null
	guest_write vm.qcow2 1M 64k 3
	ctl "commit vm.qcow2" >&2
	guest_write vm.qcow2 1M 64k 4
	ctl "reset vm.qcow2" >&2
	guest_reads vm.qcow2 1M 64k 3
	ctl "prepare $UUID domain=dom vm.qcow2 target=vda source=$MNT/vm.qcow2" >&2
	ctl "release $UUID domain=dom reason=destroyed vda source=$MNT/vm.qcow2" >&2
}

files_that_are_known() {
	grab O_PATH
	same "$(cut -d ' ' -f 2 "$WORK/grabbed")" "[23]"
	others_go_on
	grep -q "user $USER_A has .* files and directories in use" "$DAEMON_LOG"
	same "$(grep -c "user $USER_A has .* files and directories in use" "$DAEMON_LOG")" 1
}

come_back() {
	let_go
	wait_until 30 few_descriptors
	others_go_on
}

open_files() {
	grab O_RDONLY
	same "$(cut -d ' ' -f 2 "$WORK/grabbed")" "[23]"
	others_go_on
	grep -q "user $USER_A has .* open files" "$DAEMON_LOG"
	come_back
}

across_a_restart() {
	grab O_PATH
	kill_serving
	others_go_on
	come_back
}

# More files than he may have at a time, one after the other.
one_after_the_other() {
	# shellcheck disable=SC2016 # the inner shell expands it
	as_user bash -c 'for i in 1 2; do ls -l "$1" >/dev/null || exit; done' - "$MNT/u"
	wait_until 30 few_known
}

few_known() {
	(($(descriptors) < LIMIT / 2))
}

known() {
	files_that_are_known && come_back
}

# Each disk and view that he may read, as often as he gets it.
cat >"$WORK/grab_disks.py" <<'PY'
import os, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[1])] * 3)
os.setresuid(*[int(sys.argv[1])] * 3)
kept, refused = [], set()
for n in range(1, 13):
    for path in ("%s/d%d.raw" % (sys.argv[2], n), "%s/.revertfs/images/d%d.raw" % (sys.argv[2], n)):
        try:
            while True:
                kept.append(os.open(path, os.O_RDONLY))
        except OSError as error:
            refused.add(error.errno)
print(len(kept), *refused, flush=True)
sys.stdin.read()
PY

disks() {
	grab_with grab_disks.py "$USER_A" "$MNT"
	grep -qw 23 "$WORK/grabbed"
	others_go_on
	let_go
}

# Root looks at one file after the other, and a user keeps each.
cat >"$WORK/pin.py" <<'PY'
import os, socket, sys
uid, directory, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
root, user = socket.socketpair()
if os.fork() == 0:
    root.close()
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    kept = []
    while path := user.recv(4096):
        try:
            kept.append(os.open(path, os.O_PATH))
            user.send(b"kept")
        except OSError:
            user.send(b"refused")
    sys.stdin.read()
    os._exit(0)
user.close()
seen = kept = 0
for n in range(count):
    path = "%s/%d" % (directory, n)
    try:
        os.stat(path)
        seen += 1
    except OSError:
        pass
    root.send(path.encode())
    kept += root.recv(16) == b"kept"
root.close()
print(seen, kept, flush=True)
os.wait()
PY

roots() {
	grab_with pin.py "$USER_A" "$MNT/u" $((LIMIT / 2))
	same "$(cut -d ' ' -f 1 "$WORK/grabbed")" $((LIMIT / 2)) # root was refused none
	(($(cut -d ' ' -f 2 "$WORK/grabbed") < LIMIT / 2))       # the user was
	others_go_on
	let_go
}
promise "files held with O_PATH: their user is refused more of them, nobody else is; they come back when he has gone" known
promise "... as are open files" open_files
promise "... and also when the daemon is killed meanwhile" across_a_restart
promise "who looks at many, one after the other, is refused none" one_after_the_other
promise "who opens all disks and views that he may read leaves descriptors to the guests" disks
promise "what root has looked at and a user keeps counts to the user" roots
