#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A name that becomes a disk or stops being one is at each moment a file, a disk or not there: whoever looks at it or
# removes it in between never gets an input/output error.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

make_image vm.qcow2 qcow2 1M 0x11
make_image file.raw raw 64k 0x22
start_attacked -o protect=vm.qcow2

# watch NAME ERRNO...: the verbs come on stdin, one a line, and are done again and again; meanwhile stat(2) of the name
# says nothing but these errors.
cat >"$WORK/watch.py" <<'PY'
import errno, os, sys, threading, time

mount, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
allowed = {getattr(errno, e) for e in sys.argv[4:]}
verbs = [line.split(None, 1) for line in sys.stdin]
seen, ended, looks = {}, threading.Event(), 0

def once(call, *words):
    try:
        call(*words)
        error = 0
    except OSError as failure:
        error = failure.errno
    seen[error] = seen.get(error, 0) + 1
    return error

def look():
    while not ended.is_set():
        once(os.stat, mount + "/" + name)

def control(line):
    fd = os.open(mount + "/.revertfs/control", os.O_RDWR)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)

threads = [threading.Thread(target=look) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(rounds):
    for verb, words in verbs:
        if verb == "ctl":
            control(words)
        else:
            os.unlink(mount + "/" + words.strip())
ended.set()
for thread in threads:
    thread.join()
print({errno.errorcode.get(e, "ok"): n for e, n in seen.items()}, file=sys.stderr)
sys.exit(not set(seen) <= allowed | {0} or 0 not in seen)
PY

watch() {
	timeout $((120 * ${SLOW:-1})) python3 "$WORK/watch.py" "$MNT" "$@"
}

# The kernel looks a name up once more after ESTALE, and twice in a row the clone may have gone right behind the lookup.
a_clone_is_there_or_not() {
	watch zz.qcow2 60 ENOENT ESTALE <<<$'ctl clone vm.qcow2 zz.qcow2\nunlink zz.qcow2'
}

an_image_is_there_always() {
	watch file.raw 20 <<<$'ctl protect file.raw format=raw\nctl unprotect file.raw'
}

promise "a clone that is made and removed is there or is not" a_clone_is_there_or_not
promise "an image that is protected and unprotected is there all the time" an_image_is_there_always
