#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a daemon leaves to the next one: open files, also those that have lost their name, readers of scratches that were reset,
# working directories, labels, answers, sessions, holds and folds; and what happens where it cannot be taken over.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io python3

one=11111111-1111-1111-1111-111111111111
two=22222222-2222-2222-2222-222222222222
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
# A commit is slow as long as \$WORK/slow is there. With \$WORK/orphan it is a child of its own, so that it does not end with its daemon.
# In its box this can see whether a file is there, but not open it.
if [[ \$1 == commit && -e $WORK/orphan ]]; then
	bash -c 'until [[ -e $WORK/orphan.may-end ]]; do sleep 0.05; done' &
	wait
fi
[[ \$1 == commit && -e $WORK/slow ]] || exec $real "\$@"
exec $real "\$@" -r 2000000
END
chmod +x "$WORK/qemu-img"
cp "$REVERTFS" "$WORK/revertfs"
export PROGRAM=$WORK/revertfs
for disk in d e h; do make_image $disk.qcow2 qcow2 32M 1; done
export REVERTFS_DEBUG=fuse
start_kept -o "protect=?.qcow2,qemu-img=$WORK/qemu-img" || fail "the keeper and its daemon start"

# ---- files

a_removed_file() {
	exec 7<>"$MNT/gone"
	rm "$MNT/gone"
	echo first >&7
	kill_serving
	kill_serving
	echo second >&7
	same "$(python3 -c 'import os; print(os.pread(7, 100, 0).decode(), end="")')" $'first\nsecond'
	refuses stat "$MNT/gone"
	exec 7>&-
}
promise "a file that was removed while it was open is still there for whoever has it" a_removed_file

a_replaced_file() {
	echo old >"$MNT/file"
	exec 7<>"$MNT/file"
	echo new >"$MNT/file.new"
	mv "$MNT/file.new" "$MNT/file"
	kill_serving
	same "$(cat <&7)" old
	same "$(cat "$MNT/file")" new
	exec 7>&-
}
promise "... and so is one that another was renamed over" a_replaced_file

directories() {
	mkdir -p "$MNT/a/b/c"
	(
		cd "$MNT/a/b/c" || exit
		kill_serving
		mkdir "$MNT/younger"
		mv "$MNT/a" "$MNT/younger"
		kill_serving
		mv "$MNT/younger/a" "$MNT"
		echo here >file
		mv "$MNT/a/b" "$MNT/moved"
		kill_serving
		same "$(cat file)" here
		same "$(cat ../../moved/c/file)" here
		mkdir sub
	)
	same "$(cat "$MNT/moved/c/file")" here
	rm -r "$MNT/moved" "$MNT/a" "$MNT/younger"
}
promise "whoever works in a directory works on there, also where it was moved" directories

a_directory_being_read() {
	mkdir "$MNT/many"
	(cd "$MNT/many" && seq -f 'file-with-a-rather-long-name-to-fill-many-replies-%g' 4000 | xargs touch)
	python3 - "$MNT" "$(daemon_pid)" <<-'END'
		import os, sys, json, signal
		mount = sys.argv[1]
		def serving():
		    return json.load(open(mount + "/.revertfs/status.json"))["pid"]
		seen, removed = set(), 0
		for entry in os.scandir(mount + "/many"):
		    assert entry.name not in seen, "twice: " + entry.name
		    seen.add(entry.name)
		    os.unlink(entry.path)
		    if len(seen) in (500, 1500, 2500):
		        os.kill(serving(), signal.SIGKILL)
		assert len(seen) == 4000, len(seen)
	END
	rmdir "$MNT/many"
}
promise "a directory that is read and emptied meanwhile names each entry once" a_directory_being_read

# ---- disks

# guest_begins NAME [OPTION]: one QEMU that has the disk open until guest_ends.
guest_begins() {
	coproc GUEST { exec qemu-io -f qcow2 "${@:2}" "$MNT/$1" 2>&1; }
	guest_answers
}

# What comes before the next prompt. The next command may only be written then: what is buffered wakes nobody there.
guest_answers() {
	local answer
	read -rt 60 -d '>' answer <&"${GUEST[0]}"
	[[ ! ${answer%qemu-io} =~ [^[:space:]] ]] || { echo "$answer" >&2; return 1; }
}

guest() {
	echo "$1" >&"${GUEST[1]}"
	guest_answers
}

guest_ends() {
	local pid=$GUEST_PID
	echo quit >&"${GUEST[1]}"
	wait "$pid"
}

a_session_goes_on() {
	ctl "prepare $one domain=vm d.qcow2 target=vda armed=yes" >/dev/null
	guest_begins d.qcow2
	guest 'write -q -P 2 1M 64k'
	kill_serving
	ctl_fails EBUSY "prepare $two domain=other d.qcow2 target=vda"
	ctl_fails EBUSY 'reset d.qcow2' "open for writing"
	ctl_fails EBUSY 'commit d.qcow2'
	same "$(status_of d.qcow2 '"\(.session.domain) \(.armed) \(.open) \(.state)"')" "vm true 1 dirty"
	guest 'read -q -P 2 1M 64k'
	guest 'write -q -P 3 2M 64k'
	kill_serving
	guest_ends
	same "$(ctl "release $one domain=vm reason=shutdown vda armed=yes" | jq -c "[.disks[].action]")" "[\"committed\"]"
	guest_reads d.qcow2 1M 64k 2
	guest_reads d.qcow2 2M 64k 3
	ctl 'fold d.qcow2' >/dev/null
	image_reads d.qcow2 qcow2 2M 64k 3
}
promise "a session goes on, nobody else gets its disk, and what it armed is committed" a_session_goes_on

a_reader_of_what_was_reset() {
	guest_write e.qcow2 0 64k 5
	guest_begins e.qcow2 -r
	guest 'read -q -P 5 0 64k'
	ctl 'reset e.qcow2' >/dev/null
	kill_serving
	kill_serving
	guest_reads e.qcow2 0 64k 1
	guest 'read -q -P 5 0 64k'
	guest_ends
}
promise "whoever reads a scratch that was reset reads on in it" a_reader_of_what_was_reset

labels() {
	chown 64055:64055 "$MNT/.revertfs/images/d.qcow2"
	exec 7<"$MNT/.revertfs/images/d.qcow2"
	kill_serving
	same "$(stat -c %u "$MNT/.revertfs/images/d.qcow2")" 64055
	same "$(stat -c %u "$IMAGES/d.qcow2")" 0
	exec 7<&-
}
promise "what libvirt has labelled is still labelled" labels

a_hold_and_an_announcement() {
	ctl "prepare $one domain=vm h.qcow2 target=vda" >/dev/null
	guest_write h.qcow2 0 64k 6
	ctl "release $one domain=vm reason=saved vda" >/dev/null
	kill_serving
	ctl "announce $one" >/dev/null
	kill_serving
	ctl "prepare $one domain=vm h.qcow2 target=vda" >/dev/null
	guest_reads h.qcow2 0 64k 6
	ctl "release $one domain=vm reason=shutdown vda" >/dev/null
	guest_reads h.qcow2 0 64k 1
}
promise "a hold is kept, and a restore that was announced is expected" a_hold_and_an_announcement

# ---- commands

an_answer_is_kept() {
	exec 8<>"$MNT/.revertfs/control"
	echo 'commit e.qcow2 note="for the next daemon"' >&8
	kill_serving
	same "$(jq -c .ok <&8)" true
	exec 8>&-
}
promise "an answer that nobody has read yet is read from the next daemon" an_answer_is_kept

fold_runs() {
	[[ $(status_of d.qcow2 .job.state) == running ]]
}

a_waiting_command() {
	touch "$WORK/slow"
	guest_write d.qcow2 0 8M 7
	ctl 'commit d.qcow2' >/dev/null
	ctl 'fold d.qcow2' >"$WORK/answer" &
	wait_until 20 fold_runs
	kill_serving
	rm "$WORK/slow"
	wait $!
	same "$(jq .ok "$WORK/answer")" true
	image_reads d.qcow2 qcow2 0 8M 7
}
promise "who waits for a fold waits on, and the fold is taken up again" a_waiting_command

an_orphaned_child() {
	local old
	touch "$WORK/orphan"
	guest_write d.qcow2 0 64k 8
	ctl 'commit d.qcow2' >/dev/null
	wait_until 20 pgrep -f "^bash -c until .*orphan.may-end"
	old=$(serving_pid)
	kill -KILL "$old"
	rm "$WORK/orphan"
	# The next daemon waits; it neither serves nor touches a file.
	wait_until 10 pgrep -P "$(daemon_pid)"
	refuses timeout 2 stat "$MNT/.revertfs/status"
	touch "$WORK/orphan.may-end"
	wait_until 20 another_serves "$old"
	ctl 'fold d.qcow2' >/dev/null
	image_reads d.qcow2 qcow2 0 64k 8
	rm -f "$WORK"/orphan*
}
promise "no daemon touches the files while a child of a dead one may" an_orphaned_child

# ---- replaced, not killed

handed_over() {
	local old
	guest_begins e.qcow2
	old=$(serving_pid)
	cp "$REVERTFS" "$WORK/revertfs.new" && mv "$WORK/revertfs.new" "$WORK/revertfs"
	kill -USR1 "$(daemon_pid)"
	wait_until 20 another_serves "$old"
	grep -q "sent User defined signal 1; the mount is left to the next daemon" "$DAEMON_LOG"
	refuses grep -F "(deleted)" <(readlink "/proc/$(serving_pid)/exe")
	guest 'write -q -P 9 0 64k'
	guest 'read -q -P 9 0 64k'
	guest_ends
	(($(status .restarts) > 10))
}
promise "SIGUSR1 to the keeper puts the installed version in the daemon's place, under an open disk" handed_over

the_log_tells() {
	grep -q "fuse: FDSTORE=1 'fuse'" "$DAEMON_LOG"
	grep -q "fuse: the connection of an earlier daemon is adopted: restart " "$DAEMON_LOG"
	grep -q "fuse: node [0-9]* is restored (kind [0-9], 'd.qcow2')" "$DAEMON_LOG"
	grep -q "fuse: handle [0-9]* on node [0-9]* is restored" "$DAEMON_LOG"
}
promise "REVERTFS_DEBUG=fuse says what was taken over" the_log_tells

another_layout() {
	local old fd
	old=$(serving_pid)
	for fd in /proc/"$(daemon_pid)"/fd/*; do
		[[ $(readlink "$fd") == /memfd:revertfs* ]] || continue
		printf '\xff\xff\xff\x7f' | dd of="$fd" bs=1 seek=8 conv=notrunc status=none
	done
	exec 7<>"$MNT/open"
	kill -KILL "$old"
	wait_until 20 another_serves "$old"
	grep -q "cannot be taken over: another version of revertfs wrote down what is open" "$DAEMON_LOG"
	refuses stat -L /proc/self/fd/7
	exec 7>&-
	same "$(status .restarts)" 0
	guest_reads d.qcow2 0 64k 8
	kill_serving
	same "$(status .restarts)" 1
}
promise "what another version has written down is said and not believed: the mount is made anew" another_layout

# ---- the end

unmounting_ends_both() {
	local daemon
	daemon=$(serving_pid)
	umount "$MNT"
	wait_until 10 daemon_is_gone
	refuses kill -0 "$daemon"
}
promise "unmounting ends the daemon and its keeper" unmounting_ends_both

without_a_daemon() {
	PROGRAM=$REVERTFS start_kept
	kill -STOP "$(daemon_pid)"
	kill -KILL "$(serving_pid)"
	umount -l "$MNT"
	kill -CONT "$(daemon_pid)"
	wait_until 10 daemon_is_gone
}
promise "... also when the daemon dies at that very moment" without_a_daemon

# With passthrough the kernel has the file open itself, and the next daemon finds it by its file handle.
a_file_opened_later() {
	PASSTHROUGH=no PROGRAM=$REVERTFS start_kept
	python3 - "$MNT" <<-'END'
		import os, sys, json, signal
		mount = sys.argv[1]
		with open(mount + "/late", "w") as file:
		    file.write("still here")
		found = os.open(mount + "/late", os.O_PATH)
		os.unlink(mount + "/late")
		late = os.open("/proc/self/fd/%d" % found, os.O_RDWR)
		os.kill(json.load(open(mount + "/.revertfs/status.json"))["pid"], signal.SIGKILL)
		assert os.pread(late, 100, 0) == b"still here"
	END
	umount "$MNT"
	wait_until 10 daemon_is_gone
}
promise "a file that is opened after its name was removed is still there for whoever has it" a_file_opened_later

in_the_background() {
	"$REVERTFS" -o "keeper,state=$STATE" "$IMAGES" "$MNT"
	mount_answers
	guest_reads d.qcow2 0 64k 8
	kill_serving
	guest_reads d.qcow2 0 64k 8
	umount "$MNT"
	wait_until 10 flock -n "$STATE/lock" true
}
promise "without -f the command returns when the mount answers, and the keeper goes on" in_the_background

a_start_that_fails() {
	refuses "$REVERTFS" -o "keeper,state=$STATE" "$WORK/not-there" "$MNT"
	says "the images directory '$WORK/not-there': No such file or directory"
	refuses "$REVERTFS" -f -o "keeper,state=$IMAGES/state" "$IMAGES" "$MNT"
	says "lies in the images directory"
}
promise "a daemon that cannot start ends its keeper, with the reason" a_start_that_fails
