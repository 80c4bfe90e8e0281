# SPDX-License-Identifier: GPL-2.0-or-later
"""Plays one seed: state_directory.py GOOD WORK SEED

A copy of the state directory in GOOD is damaged, the daemon is started on it, and verbs are sent. What must hold whatever was
damaged is in state_directory.sh. Prints what does not, and what was done; the exit status says whether anything was found.
"""
import glob, hashlib, json, os, random, shutil, signal, stat, subprocess, sys, time

good, work, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
STATE, IMAGES, MNT, CANARY, OUT, LOG = (os.path.join(work, n) for n in ("state", "images", "mnt", "canary", "out", "daemon.log"))
SLOW = int(os.environ.get("SLOW", "1"))
START_S, VERB_S, END_S = 30 * SLOW, 60 * SLOW, 30 * SLOW
UUID = "99999999-2222-4333-8444-555555555555"
rng = random.Random(seed)
found, done = [], []


def wrong(text):
    found.append(text)


# ---- the copy

def load(path):
    with open(path) as f:
        return json.load(f)


def save(path, record):
    with open(path, "w") as f:
        json.dump(record, f)


def copy():
    subprocess.run(["cp", "-a", "--reflink=auto", good + "/state", good + "/images", work], check=True)
    for name in (MNT, OUT, CANARY):
        os.mkdir(name)
    # The images are the same for the records, though their inodes are others.
    for path in glob.glob(STATE + "/layers/*.json"):
        record = load(path)
        if record.get("image"):
            found_as = os.stat(os.path.join(IMAGES, record["image"]))
            record["device"], record["inode"] = found_as.st_dev, found_as.st_ino
            save(path, record)
    for name in ("a", "b.qcow2", "c.json"):
        path = os.path.join(CANARY, name)
        with open(path, "w") as f:
            f.write("canary " * 2000)
        os.chmod(path, 0o640)
        os.chown(path, 64002, 64002)


def look_at_canary():
    seen = []
    for name in sorted(os.listdir(CANARY)):
        st = os.lstat(os.path.join(CANARY, name))
        with open(os.path.join(CANARY, name), "rb") as f:
            seen.append((name, st.st_mode, st.st_uid, st.st_gid, st.st_mtime_ns, hashlib.sha256(f.read()).hexdigest()))
    return seen


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class Layers:
    """The tree of the good state: which disks a layer is of. Clones are of one tree with their origin."""

    def __init__(self):
        self.records = {r["id"]: r for r in map(load, glob.glob(STATE + "/layers/*.json"))}
        self.heads = {os.path.basename(os.path.dirname(p)): load(p)["head"] for p in glob.glob(STATE + "/disks/*/disk.json")}

    def root(self, layer):
        while self.records[layer].get("parent"):
            layer = self.records[layer]["parent"]
        return layer

    def disks_of(self, layer):
        if layer not in self.records:
            return set()
        return {d for d, head in self.heads.items() if self.root(head) == self.root(layer)}

    def disks_of_path(self, path):
        """The disks that a file of the state directory belongs to; all of them where that cannot be said."""
        parts = os.path.relpath(path, STATE).split("/")
        if parts[0] == "disks" and len(parts) > 1:
            return self.disks_of(self.heads.get(parts[1]))
        if parts[0] == "layers" and len(parts) > 1:
            return self.disks_of(parts[1].split(".")[0]) if parts[1].split(".")[0] in self.records else set()
        return set(self.heads)


# ---- damage; each function changes one thing, and returns the paths that it changed

EXTREMES = [None, -1, 0, 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 1e308, "", "x" * 70000, "../../etc/passwd", "/etc/passwd",
            "\u0000", "a\nb", [], {}, [{}] * 300, True, False]


def files(pattern="/**"):
    return [p for p in sorted(glob.glob(STATE + pattern, recursive=True)) if os.path.lexists(p) and p != STATE + "/"]


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def a_record(kind=""):
    return rng.choice([p for p in files("/" + kind + "**/*.json") if os.path.isfile(p)])


def a_place():
    return rng.choice(files())


def overwrite(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return [path]


def bytes_of_a_record():
    path = a_record()
    data = bytearray(open(path, "rb").read())
    for _ in range(rng.randrange(1, 5)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return overwrite(path, data)


def torn():
    path = a_record()
    data = open(path, "rb").read()
    return overwrite(path, data[:rng.randrange(len(data))])


def garbage():
    return overwrite(a_record(), rng.choice([b"garbage\n", b"", b"\x00" * 4096, b"{}", b"null", b"[]", os.urandom(300)]))


def large():
    return overwrite(a_record(), b'{"version":1,' + b" " * 300000 + b"}")


def deep():
    return overwrite(a_record(), rng.choice([b"[", b'{"a":']) * 100000)


def gone():
    path = a_place()
    remove(path)
    return [path]


def other_kind():
    path = a_place()
    is_directory = os.path.isdir(path)
    remove(path)
    kind = rng.randrange(5)
    if kind == 0:
        os.symlink(CANARY if is_directory else os.path.join(CANARY, rng.choice(["a", "b.qcow2", "c.json"])), path)
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, rng.choice([3, 5])))
    elif kind == 3 and not is_directory:
        os.mkdir(path)
    elif kind == 4:
        os.symlink(path, path)
    return [path]


def two_layers():
    a, b = a_record("layers/"), a_record("layers/")
    return a, b, load(a), load(b)


def circle():
    a, b, first, second = two_layers()
    first.update(parent=second["id"], image=None)
    second.update(parent=first["id"], image=None)
    save(a, first)
    save(b, second)
    return [a, b]


def same_id():
    a, b, first, second = two_layers()
    first["id"] = second["id"]
    save(a, first)
    return [a, b]


def own_parent():
    a, _, first, _ = two_layers()
    first.update(parent=first["id"], image=None)
    save(a, first)
    return [a]


def other_parent():
    a, b, first, second = two_layers()
    first["parent"] = second["id"]
    save(a, first)
    return [a, b]


def other_image():
    a, b, first, second = two_layers()
    first.update(parent=None, image=rng.choice([second.get("image"), "../canary/a", "nothing", "raw.img", ".", "raw.img/x"]))
    save(a, first)
    return [a, b] + files("/layers/*.json")


def extreme_member():
    path = a_record()
    record = load(path)
    record[rng.choice(list(record))] = rng.choice(EXTREMES)
    save(path, record)
    return [path]


def extreme_numbers():
    path = a_record()
    record = load(path)
    for key, value in record.items():
        if isinstance(value, int) and not isinstance(value, bool) and key != "version":
            record[key] = rng.choice([0, 2**31, 2**32 - 1, 2**63 - 1])
    save(path, record)
    return [path]


def many_names():
    a, _, first, _ = two_layers()
    first["names"] = [{"disk": rng.choice(["raw.img", "nobody"]), "point": "p%d" % i} for i in range(rng.choice([1, 256, 257]))]
    first.update({"state": rng.choice(["folding", "sealed"]), "becomes-head": True})
    save(a, first)
    return [a] + [p for p in files("/disks/raw.img/*")]


def header_bytes():
    path = rng.choice([p for p in files() if p.endswith((".qcow2", ".template")) and os.path.isfile(p)])
    with open(path, "r+b") as f:
        header = bytearray(f.read(512))
        for _ in range(rng.randrange(1, 8)):
            header[rng.randrange(len(header))] = rng.randrange(256)
        f.seek(0)
        f.write(header)
    return [path] + [p for p in files("/disks/pair*/*")]


def shorter_file():
    path = rng.choice([p for p in files() if p.endswith((".qcow2", ".template")) and os.path.isfile(p)])
    os.truncate(path, rng.choice([0, 3, 511, 65536, 2**40]))
    return [path] + [p for p in files("/disks/pair*/*")]


def exchanged():
    suffix = rng.choice([".json", ".qcow2", ".template"])
    a, b = (rng.choice([p for p in files("/layers/*" + suffix)]) for _ in range(2))
    os.rename(a, a + "~")
    os.rename(b, a) if a != b else None
    os.rename(a + "~", b)
    return [a, b] + [p for p in files("/disks/pair*/*")]


def output_outside():
    save(STATE + "/makings/%016x.json" % rng.getrandbits(64), {
        "version": 1, "id": "0" * 16, "format": "qcow2", "inode": os.stat(CANARY + "/a").st_ino,
        "directory": rng.choice([CANARY, "/", "/proc/self", None, CANARY + "/../canary", OUT + "/nothing"]),
        "name": rng.choice(["a", "../a", "b.qcow2", "x/../../y", "../canary/a", "c", "raw.img"])})
    return []


def intent():
    save(STATE + "/intents/11111111-1111-4111-8111-111111111111.json", {
        "version": 1, "uuid": "11111111-1111-4111-8111-111111111111", "domain": "d", "managed": True, "consumed": "c",
        "parts": [{"disk": rng.choice(["raw.img", "../x", "armed.img", "nothing"]),
                   "layer": os.path.basename(a_record("layers/"))[:-5], "hold": rng.choice([True, False])}
                  for _ in range(rng.randrange(1, 5))]})
    return files("/layers/*.json")


def hold():
    path = rng.choice([p for p in files("/disks/*/disk.json") if os.path.isfile(p)])
    record = load(path)
    record.update({"hold": rng.choice([record["head"], "0" * 16]), "hold-uuid": "11111111-1111-4111-8111-111111111111",
                   "template": rng.choice(["raw.img", None, "self"]), "follow": True, "keep-revisions": rng.choice([0, 3])})
    save(path, record)
    return [path]


def no_directory():
    path = STATE + "/" + rng.choice(["disks", "layers", "intents", "makings", "lost"])
    remove(path)
    return files()


DAMAGES = [bytes_of_a_record, torn, garbage, large, deep, gone, other_kind, other_kind, circle, same_id, own_parent, other_parent,
           other_image, extreme_member, extreme_member, extreme_numbers, many_names, header_bytes, shorter_file, exchanged,
           output_outside, intent, hold, no_directory]


def damage(layers):
    """The disks whose files were damaged."""
    damaged = set()
    for _ in range(rng.randrange(1, 6)):
        act = rng.choice(DAMAGES)
        try:
            paths = act()
        except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as e:
            done.append("%s: %s" % (act.__name__, type(e).__name__))  # an earlier damage is in its way
            continue
        for path in paths:
            damaged |= layers.disks_of_path(path)
        done.append("%s %s" % (act.__name__, " ".join(os.path.relpath(p, STATE) for p in paths[:2])))
    return damaged


# ---- the daemon

def start():
    log = open(LOG, "a")
    daemon = subprocess.Popen(
        [os.environ.get("PROGRAM") or os.environ["REVERTFS"], "-f", "-o",
         "state=%s,qemu-timeout=5,passthrough=no" % STATE, IMAGES, MNT],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    until = time.monotonic() + START_S
    while daemon.poll() is None and time.monotonic() < until:
        if os.path.ismount(MNT):
            return daemon
        time.sleep(0.02)
    if daemon.poll() is None:
        wrong("the start hangs")
        daemon.kill()
        daemon.wait()
    elif daemon.returncode < 0 or daemon.returncode > 1 or os.path.getsize(LOG) == 0:
        wrong("the start ends with %d" % daemon.returncode)
    else:
        done.append("the daemon ends: " + open(LOG, errors="replace").read().strip().split("\n")[-1])
    return None


def in_child(act, what):
    """In a process of its own, for the mount may hang; True when it came to its end in time."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except OSError:
            pass
        os._exit(0)
    until = time.monotonic() + VERB_S
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    wrong(what + ": no answer in %d s" % VERB_S)
    os.kill(pid, signal.SIGKILL)
    return False


def tell(line):
    def write():
        fd = os.open(MNT + "/.revertfs/control", os.O_RDWR)
        os.write(fd, (line + "\n").encode())
    done.append(line)
    return in_child(write, line)


def read(path):
    def look():
        with open(MNT + "/" + path, "rb") as f:
            f.read(1 << 16)
    return in_child(look, "reading " + path)


def verbs_for(name):
    word = '"%s"' % name
    return ["commit " + word, "reset " + word, "undo " + word, "fold " + word, "snapshot %s s%d" % (word, rng.randrange(3)),
            "revert %s %s" % (word, rng.choice(["gold", "s0", "s1"])), "delete %s %s" % (word, rng.choice(["gold", "s0", "s1"])),
            'export %s to=%s/e%d format=raw' % (word, OUT, rng.randrange(3)), "clone %s c%d.qcow2" % (word, rng.randrange(3)),
            "clone %s f%d.img full=yes" % (word, rng.randrange(3)), "unprotect " + word, "unprotect %s force=yes" % word,
            "set %s keep-revisions=%d" % (word, rng.choice([0, 1, 5])), "set %s size=%d" % (word, rng.choice([1, 4 << 20])),
            "cancel " + word, "protect " + word,
            "prepare %s domain=d %s target=vda source=/x" % (UUID, word),
            "prepare 33333333-2222-3333-4444-555555555555 domain=vm3 %s target=held source=/x saved=yes" % word,
            "release %s domain=d reason=shutdown vda" % UUID, "announce " + UUID]


def play(daemon, disks):
    """Verbs for some of the disks; the others have nobody who asks for anything."""
    asked = set(rng.sample(sorted(disks), 5))
    in_time = read(".revertfs/status.json")
    for _ in range(24):
        name = rng.choice(sorted(asked))
        if not in_time or daemon.poll() is not None:
            break
        in_time = tell(rng.choice(verbs_for(name)))
    if in_time and daemon.poll() is None:
        in_time = read(".revertfs/status.json") and read(".revertfs/status")
        for name in sorted(asked):
            in_time = in_time and read(name)
    return asked


def end(daemon):
    if daemon.poll() is not None:
        wrong("the daemon died: %d" % daemon.returncode)
    else:
        daemon.terminate()
        try:
            if daemon.wait(END_S) < 0:
                wrong("ended by signal %d" % -daemon.returncode)
        except subprocess.TimeoutExpired:
            wrong("SIGTERM does not end it")
            daemon.kill()
            daemon.wait()
    subprocess.run(["umount", "-l", MNT], stderr=subprocess.DEVNULL)


# What the old daemon was in the middle of folds by itself, and so may what it had promised.
FOLDS_BY_ITSELF = {"folding.img", "pair1.img", "pair2.img", "session.img", "unhooked.img"}


def main():
    copy()
    layers = Layers()
    images = {name: digest(os.path.join(IMAGES, name)) for name in os.listdir(IMAGES) if not name.startswith(".")}
    damaged = damage(layers)
    canary = look_at_canary()
    asked = set()
    daemon = start()
    if daemon:
        asked = play(daemon, set(layers.heads))
        end(daemon)
        daemon = start()  # on what it made of that
        if daemon:
            end(daemon)
    if look_at_canary() != canary:
        wrong("a file outside was changed")
    trees = set()
    for name in asked | damaged:
        trees |= layers.disks_of(layers.heads.get(name))
    for name, before in images.items():
        if name not in trees | FOLDS_BY_ITSELF and digest(os.path.join(IMAGES, name)) != before:
            wrong("the image of '%s' was changed, which nobody damaged or asked anything of" % name)
    if found:
        print("\n".join(done))
        print("seed %d: %s" % (seed, "; ".join(found)))
    sys.exit(1 if found else 0)


main()
