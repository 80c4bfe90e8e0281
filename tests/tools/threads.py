#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""threads.py WORK SECONDS SEED: verbs and file operations on WORK/mnt, from many threads at a time.

What they get back does not matter: a command that comes at the wrong moment is refused. It must be an answer, and one
of an errno that says so; and at the end the disks must be there. Counts go to stderr.
"""
import errno
import os
import random
import sys
import threading
import time

work, seconds, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
mount, end = work + "/mnt", time.monotonic() + float(seconds)
disks = ["v1.qcow2", "v2.qcow2", "v3.qcow2", "r.raw"]
clones = ["c1.qcow2", "c2.qcow2"]
counts, wrong = {}, []


def note(what):
    counts[what] = counts.get(what, 0) + 1


def attempt(what, call, *words):
    try:
        result = call(*words)
        note(what)
        return result
    except OSError as failure:
        name = errno.errorcode.get(failure.errno, str(failure.errno))
        note(what + " " + name)
        if failure.errno in (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED, errno.ENOSYS):
            wrong.append(what + " " + name)
    return None


def control(line):
    def ask():
        descriptor = os.open(mount + "/.revertfs/control", os.O_RDWR)
        try:
            os.write(descriptor, (line + "\n").encode())
        finally:
            os.pread(descriptor, 65536, 0)
            os.close(descriptor)

    attempt(line.split()[0], ask)


def write(name, chance):
    def open_and_write():
        descriptor = os.open(mount + "/" + name, os.O_RDWR)
        try:
            os.pwrite(descriptor, os.urandom(512), (1 << 20) + 512 * chance.randrange(100))
            os.fsync(descriptor)
            os.fstat(descriptor)
            os.pread(descriptor, 4096, 0)
        finally:
            os.close(descriptor)

    attempt("write", open_and_write)


def session(chance):
    uuid, name = "11111111-1111-4111-8111-11111111111%d" % chance.randrange(3), chance.choice(disks)
    if chance.randrange(4) == 0:
        control("announce " + uuid)
    control("prepare %s domain=d config=1:%d %s target=vda armed=%s leftover=%s" % (
        uuid, chance.randrange(9), name, chance.choice(["yes", "no"]), chance.choice(["keep", "discard"])))
    write(name, chance)
    reason = chance.choice(["shutdown", "destroyed", "crashed", "saved", "failed", "unknown"])
    control("release %s reason=%s vda" % (uuid, reason))


def one_verb(chance):
    name, point = chance.choice(disks + clones), chance.randrange(4)
    number = chance.randrange(3)
    lines = [
        "reset " + name, "reset " + name, "commit %s note=x" % name, "commit %s note=y" % name,
        "snapshot %s p%d" % (name, point), "snapshot %s l%d live=yes" % (name, point),
        "revert %s p%d" % (name, point), "delete %s %s%d" % (name, chance.choice("pl"), point),
        "undo " + name, "fold %s wait=%s" % (name, chance.choice(["yes", "no"])), "cancel " + name,
        "export %s to=%s/out/e%d replace=yes wait=%s" % (name, work, number, chance.choice(["yes", "no"])),
        "clone %s %s follow=%s" % (chance.choice(disks), chance.choice(clones), chance.choice(["yes", "no"])),
        "clone %s full%d.qcow2 full=yes wait=no" % (chance.choice(disks), number),
        "set %s keep-revisions=%d durability=%s" % (name, number, chance.choice(["strict", "relaxed"])),
        "unprotect full%d.qcow2 force=yes" % number, "unprotect v3.qcow2 force=yes", "protect v3.qcow2",
        "protect r.raw format=raw",
    ]
    kind = chance.randrange(len(lines) + 4)
    if kind < len(lines):
        control(lines[kind])
    elif kind == len(lines):
        attempt("unlink a clone", os.unlink, mount + "/" + chance.choice(clones))
    else:
        session(chance)


def append(path):
    with open(path, "ab") as file:
        file.write(os.urandom(5000))
        file.flush()
        os.fsync(file.fileno())


def read_views():
    directory = mount + "/.revertfs/layers/"
    for name in os.listdir(directory)[:3]:
        with open(directory + name, "rb") as file:
            file.read(4096)
            os.fstat(file.fileno())


def read_status():
    for name in ("status", "status.json"):
        with open(mount + "/.revertfs/" + name, encoding="utf-8") as file:
            file.read()


def look_at_disks():
    for name in disks[:2]:
        os.stat(mount + "/" + name)
        os.stat(mount + "/.revertfs/images/" + name)


def xattrs(path):
    os.setxattr(path, "user.x", b"1")
    os.getxattr(path, "user.x")
    os.listxattr(path)


def one_file_operation(chance):
    one, other = (mount + "/d/f%d" % chance.randrange(6) for _ in range(2))
    directory = mount + "/d/s%d" % chance.randrange(3)
    calls = [
        (os.rename, one, other), (os.link, one, other), (os.unlink, one), (os.chmod, one, 0o640),
        (os.listdir, mount), (os.listdir, mount + "/d"), (xattrs, one), (os.truncate, one, chance.randrange(100000)),
        (os.mkdir, directory), (os.rmdir, directory), (read_status,), (read_views,), (look_at_disks,), (append, one),
    ]
    call = chance.choice(calls)
    attempt(call[0].__name__, *call)


# A busy machine may be refused every commit for some seconds.
def has_worked():
    return bool(counts.get("commit") and counts.get("write"))


def repeat(what, number):
    chance = random.Random(seed * 100 + number)
    while time.monotonic() < end or (not has_worked() and time.monotonic() < end + 100):
        what(chance)


threads = [threading.Thread(target=repeat, args=(one_verb, i), daemon=True) for i in range(5)]
threads += [threading.Thread(target=repeat, args=(one_file_operation, 50 + i), daemon=True) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(max(0.1, end + 240 - time.monotonic()))
left = sum(thread.is_alive() for thread in threads)
print({what: counts[what] for what in sorted(counts)}, "wrong:", sorted(set(wrong)), "alive:", left, file=sys.stderr)
sys.exit(1 if left or wrong or not has_worked() else 0)
