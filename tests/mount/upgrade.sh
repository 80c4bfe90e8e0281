#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An upgrade under load: the daemon of commit fc8d36e, whose handover has layout 1, is replaced by today's program while guests
# write, files are open, a directory is being read and an answer has not been read. Nobody notices, with and without passthrough.
. "$TESTLIB"
need_fuse
need git tar make jq qemu-img qemu-io python3

OLD=fc8d36e
git=(git -C "$TESTS/.." -c "safe.directory=*")
"${git[@]}" cat-file -e "$OLD^{commit}" 2>/dev/null || { skip "upgrade: the history is shallow, commit $OLD is not in it"; exit 0; }

# Of the old version the daemon alone, and hardly optimised: that is built in seconds.
build_old() {
	mkdir "$WORK/old"
	"${git[@]}" archive "$OLD" | tar -x -C "$WORK/old"
	env -u MAKEFLAGS -u MAKELEVEL -u SAN -u BUILD -u WERROR make -s -C "$WORK/old" CFLAGS=-O1 build/revertfs >"$WORK/build.log" 2>&1
}
build_old || { tail "$WORK/build.log" >&2; fail "commit $OLD is built"; }

domain=11111111-1111-1111-1111-111111111111
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
# In its box this can see whether a file is there, but not open it.
[[ \$1 == commit && -e $WORK/slow ]] || exec $real "\$@"
exec $real "\$@" -r 2000000
END
chmod +x "$WORK/qemu-img"
export PROGRAM=$WORK/revertfs

# ---- who is at work; each until $WORK/stop is there

# One QEMU that has the disk open; each write is read back at once. It gets a command when it has done the one before.
guest() {
	local i command answer
	coproc QEMU { exec qemu-io -f qcow2 -t none "$MNT/d.qcow2" 2>&1; }
	local pid=$QEMU_PID
	for ((i = 1; ; i++)); do
		for command in "" write read; do
			[[ ! $command ]] || echo "$command -q -P $((i % 250 + 1)) $((i % 30))M 64k" >&"${QEMU[1]}"
			[[ ! $command && $i -gt 1 ]] || read -rt 60 -d '>' answer <&"${QEMU[0]}"
			[[ ! ${answer%qemu-io} =~ [^[:space:]] ]] || { echo "$answer" >&2; return 1; }
		done
		[[ ! -e $WORK/stop ]] || break
	done
	echo quit >&"${QEMU[1]}"
	wait "$pid"
}

# A file that is no disk, a removed file, and a directory that is listed entry by entry. $WORK/progress counts the rounds.
cat >"$WORK/files.py" <<'END'
import os, sys
mount, work = sys.argv[1:]
plain = os.open(mount + "/plain", os.O_RDWR | os.O_CREAT, 0o644)
removed = os.open(mount + "/removed", os.O_RDWR | os.O_CREAT, 0o644)
os.unlink(mount + "/removed")
seen, left = set(), os.scandir(mount + "/many")
round = 0
while not os.path.exists(work + "/stop"):
    round += 1
    for fd in plain, removed:
        data = bytes([round % 251]) * 5000
        assert os.pwrite(fd, data, round % 64 * 4096) == 5000
        assert os.pread(fd, 5000, round % 64 * 4096) == data
    entry = next(left, None)
    if entry:
        assert entry.name not in seen, "twice: " + entry.name
        seen.add(entry.name)
    with open(work + "/progress.new", "w") as file:
        file.write(str(round))
    os.rename(work + "/progress.new", work + "/progress")
seen |= {entry.name for entry in left}
assert len(seen) == 3000, len(seen)
END

progress() {
	cat "$WORK/progress" 2>/dev/null || echo 0
}

works_on() {
	local before
	before=$(progress)
	more() { (($(progress) > before + 20)); }
	wait_until 20 more
}

# ---- the upgrade

begin() {
	rm -rf "$WORK"/{stop,progress,slow} "$STATE" "${IMAGES:?}"/*
	make_image d.qcow2 qcow2 32M 1
	make_image e.qcow2 qcow2 32M 1
	mkdir "$IMAGES/many"
	(cd "$IMAGES/many" && seq -f 'file-with-a-rather-long-name-to-fill-many-replies-%g' 3000 | xargs touch)
	checksum "$IMAGES/d.qcow2" >"$WORK/image.sum"
	cp "$WORK/old/build/revertfs" "$PROGRAM"
	start_kept -o "protect=?.qcow2,qemu-img=$WORK/qemu-img" || fail "the old daemon starts"
	ctl "prepare $domain domain=vm d.qcow2 target=vda" >/dev/null
}

# What the header of the disk's scratch names.
header_of() {
	qemu-img info -U --output=json "$MNT/$1" | jq -r '."backing-filename"'
}

fold_runs() {
	[[ $(status_of e.qcow2 .job.state) == running ]]
}

# upgrade_under_load: the whole of it. The descriptors 7 and 8 are open all the time.
upgrade_under_load() {
	local guest files fold old
	begin
	guest &
	guest=$!
	python3 "$WORK/files.py" "$MNT" "$WORK" &
	files=$!
	exec 7<>"$MNT/.revertfs/control" 8<"$MNT/d.qcow2" 9<"$MNT/.revertfs/images/d.qcow2"
	echo 'set e.qcow2 keep-revisions=0' >&7
	guest_write e.qcow2 0 8M 7
	touch "$WORK/slow"
	ctl 'commit e.qcow2' >/dev/null
	ctl 'fold e.qcow2' >"$WORK/fold" &
	fold=$!
	wait_until 20 fold_runs
	works_on

	cp "$REVERTFS" "$PROGRAM.new" && mv "$PROGRAM.new" "$PROGRAM"
	old=$(serving_pid)
	kill -USR1 "$(daemon_pid)"
	wait_until 20 another_serves "$old"
	cmp "/proc/$(serving_pid)/exe" "$REVERTFS"
	same "$(status .restarts)" 1
	works_on
	kill_serving
	same "$(status .restarts)" 2
	works_on

	rm "$WORK/slow"
	wait "$fold"
	same "$(jq .ok "$WORK/fold")" true
	image_reads e.qcow2 qcow2 0 8M 7
	same "$(jq -c .ok <&7)" true
	head -c 4 <&8 | cmp - <(printf 'QFI\xfb')
	cmp - "$IMAGES/d.qcow2" <&9
	exec 7>&- 8<&- 9<&-
	same "$(header_of d.qcow2)" "$MNT/.revertfs/images/d.qcow2"
	touch "$WORK/stop"
	wait "$guest"
	wait "$files"
	same "$(ctl "release $domain domain=vm reason=shutdown vda" | jq -r ".disks[].action")" reset
	guest_reads d.qcow2 0 32M 1
	same "$(header_of d.qcow2)" "$MNT/.revertfs/layers/$(status_of d.qcow2 .head).backing_file.img"
	same "$(checksum "$IMAGES/d.qcow2")" "$(<"$WORK/image.sum")"
	refuses grep -E "cannot be (taken over|restored)" "$DAEMON_LOG"
	stop_daemon
}

# The handover of layout 1 is in the store no longer: an old daemon would find nodes there that are not true.
one_handover_is_left() {
	same "$(grep -c "what an earlier version of revertfs wrote down about open files is taken over" "$DAEMON_LOG")" "$1"
	refuses grep -F "no room for descriptor" "$DAEMON_LOG"
}

for PASSTHROUGH in auto no; do
	promise "passthrough=$PASSTHROUGH: under load nobody notices the upgrade from layout 1, nor a kill after it" upgrade_under_load
done
promise "... what the old version left was converted once each time" one_handover_is_left 2
