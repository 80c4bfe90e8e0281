#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-img is missing, fails, hangs or talks nonsense: the command that needs it says so in a sentence, the content is what it was, and
# when qemu-img is well again the same command works. What needs no qemu-img goes on.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

real=$(command -v qemu-img)
program=$WORK/qemu-img
# ill SUBCOMMAND|all LINE: what it does instead. The program itself says it: in its box it can read nothing else.
ill() {
	cat >"$program.new" <<-END
		#!/bin/bash
		if [[ $1 == "\$1" || $1 == all ]]; then
			$2
		fi
		exec $real "\$@"
	END
	chmod +x "$program.new"
	mv "$program.new" "$program"
}

well() {
	ill none :
}

make_image a.img raw 2M 1
make_image b.qcow2 qcow2 2M 2
cp "$IMAGES/a.img" "$WORK/before.raw"
well
start_daemon -o "qemu-img=$program" -o qemu-timeout=2 || fail "the daemon starts"

untouched() {
	cmp "$IMAGES/a.img" "$WORK/before.raw"
	cmp "$MNT/a.img" "$WORK/before.raw"
}

# refused_protect ERRNO WORDS: and nothing of it remains.
refused_protect() {
	ctl_fails "$1" 'protect a.img' "$2"
	untouched
	same "$(status '.disks | length')" 0
	same "$(find "$STATE/disks" "$STATE/layers" -mindepth 1)" ""
}

protect_missing() {
	mv "$program" "$program.away"
	refused_protect ENOENT "install qemu-utils"
	mv "$program.away" "$program"
}
promise "protect without a qemu-img says what to install" protect_missing

protect_unstartable() {
	chmod -x "$program"
	refused_protect ENOENT "qemu-img"
	chmod +x "$program"
	ill all 'exec /nonexistent/interpreter'
	refused_protect ENOENT "cannot be started; install qemu-utils" || refused_protect EIO "qemu-img"
	well
}
promise "protect with a qemu-img that cannot be started says so" protect_unstartable

protect_failing() {
	ill create 'echo "qemu-img: something is rotten in /root/of/denmark" >&2; exit 1'
	refused_protect EIO "qemu-img create failed: Input/output error (the log has what it said)"
	grep -F "qemu-img create failed: qemu-img: something is rotten in /root/of/denmark" "$DAEMON_LOG"
	ill create 'echo "qemu-img: No space left on device" >&2; exit 1'
	refused_protect ENOSPC "No space left on device"
	ill all 'kill -SEGV $$'
	refused_protect EIO "was killed by signal 11"
	ill all 'exit 3'
	refused_protect EIO "it did not say why"
	well
}
promise "protect with a qemu-img that fails says the errno that it named, and the log what it said" protect_failing

protect_garbage() {
	ill create 'echo "{}" >&3; exit 0'
	refused_protect EBADMSG "a.img"
	ill create 'yes | head -c 4000000; exit 0'
	refused_protect EBADMSG "a.img" || refused_protect EIO "a.img"
	ill create 'exit 0'
	refused_protect EBADMSG "a.img" || refused_protect EIO "a.img"
	well
}
promise "protect with a qemu-img that talks nonsense is refused" protect_garbage

protect_hanging() {
	local began
	ill create 'exec sleep 1000'
	began=$(milliseconds)
	refused_protect ETIMEDOUT "made no progress for 2 s and was killed"
	(($(milliseconds) - began < 20000 * SLOW))
	well
}
promise "protect with a qemu-img that hangs ends after qemu-timeout" protect_hanging

others_go_on() {
	local began holder
	ill create 'exec sleep 1000'
	ctl 'protect a.img' >/dev/null &
	holder=$!
	began=$(milliseconds)
	same "$(status '.disks | length')" 0
	echo x >"$MNT/file" && rm "$MNT/file"
	(($(milliseconds) - began < 1500 * SLOW))
	! wait "$holder"
	well
}
promise "while qemu-img hangs, the mount goes on" others_go_on

works_again() {
	ctl 'protect a.img'
	ctl 'protect b.qcow2'
	guest_reads a.img 0 2M 1
	guest_reads b.qcow2 0 2M 2
}
promise "with a qemu-img that is well again the same command works" works_again

# ---- what needs none, what needs it in the background

resets_and_commits() {
	guest_write a.img 0 64k 3
	wait_until 10 has_next
	ill all 'echo "qemu-img: no more" >&2; exit 1'
	ctl 'reset a.img'
	guest_reads a.img 0 2M 1
	guest_write a.img 0 64k 4
	ctl 'commit a.img'
	guest_reads a.img 0 64k 4
	guest_write a.img 64k 64k 5
	ctl 'reset a.img'
	guest_reads a.img 64k 64k 1
	untouched_image
}

# The template of the next layer, beside that of the head.
has_next() {
	(($(find "$STATE/layers" -name '*.template' | wc -l) >= $(status '.disks | length') + 1))
}

untouched_image() {
	cmp "$IMAGES/a.img" "$WORK/before.raw"
}
promise "a reset, and a commit whose template was made ahead, need no qemu-img" resets_and_commits

fold_failing() {
	local disk=a.img
	ill commit 'echo "qemu-img: Input/output error" >&2; exit 1'
	ctl_fails EIO "fold $disk" "its content is safe, and the fold is tried again"
	guest_reads $disk 0 64k 4
	[[ $(status_of $disk .last_error) == *"Input/output error"* ]]
	ill commit 'echo "qemu-img: error while writing: No space left on device" >&2; exit 1'
	ctl_fails ENOSPC "fold $disk" "No space left on device"
	ill commit 'exec sleep 1000'
	ctl_fails ETIMEDOUT "fold $disk" "made no progress for 2 s"
	[[ $(status_of $disk .job.state) == waiting ]]
	guest_reads $disk 0 64k 4
	mv "$program" "$program.away"
	ctl_fails ENOENT "fold $disk" "install qemu-utils"
	mv "$program.away" "$program"
	well
	ctl "fold $disk"
	image_reads $disk raw 0 64k 4
	image_reads $disk raw 64k 1984k 1
	same "$(status_of $disk .last_error)" null
}
promise "a fold whose qemu-img fails, hangs or is gone says so, loses nothing, and works later" fold_failing

says_not_now() {
	[[ $(status_of b.qcow2 .last_error) == *"qemu-img commit failed"* ]]
	grep -F "qemu-img: not now" "$DAEMON_LOG"
}

fold_by_itself() {
	ill commit 'echo "qemu-img: not now" >&2; exit 1'
	guest_write b.qcow2 0 64k 6
	ctl 'commit b.qcow2'
	wait_until 10 says_not_now
	guest_reads b.qcow2 0 64k 6
	well
	wait_until 20 job_is_done b.qcow2
	image_reads b.qcow2 qcow2 0 64k 6
}
promise "a fold that failed in the background is tried again by itself" fold_by_itself

# As of an image whose tables an enemy has made.
endless_check() {
	local disk=b.qcow2
	ill check 'while :; do :; done'
	guest_write $disk 0 64k 8
	ctl_fails EIO "snapshot $disk live live=yes" "used more than 2 s of processor time"
	same "$(find "$STATE/layers" -name '*.new')" ""
	ill commit 'exit 1'
	ctl "commit $disk"
	ctl_fails EIO "fold $disk"
	ill check 'while :; do :; done'
	ctl "fold $disk" || job_is_done $disk
	grep "what interrupted folds left in the image is not freed: qemu-img check used more than 2 s of processor time" "$DAEMON_LOG"
	image_reads $disk qcow2 0 64k 8
	well
}
promise "a check that has no end ends: the live snapshot is refused, and the fold goes without" endless_check

endless_measure() {
	stop_daemon
	start_daemon -o "qemu-img=$program" -o qemu-timeout=2 -o reserve=1000T
	ill measure 'while :; do :; done'
	ctl_fails EIO "export b.qcow2 to=$WORK/measured.qcow2" "qemu-img measure used more than 2 s of processor time"
	[[ ! -e $WORK/measured.qcow2 ]]
	well
}
promise "... and so does measuring what an export would take" endless_measure

# As a shell's `trap '' CHLD` hands it on: the kernel then tells nobody how a child ended.
ignored_children() {
	local disk=a.img
	cat >"$WORK/ignoring" <<-END
		#!/bin/bash
		exec env --ignore-signal=CHLD "$REVERTFS" "\$@"
	END
	chmod +x "$WORK/ignoring"
	stop_daemon
	PROGRAM=$WORK/ignoring start_kept -o "qemu-img=$program" -o qemu-timeout=2
	ill commit 'echo "qemu-img: not now" >&2; exit 1'
	guest_write $disk 0 64k 7
	ctl "commit $disk"
	ctl_fails EIO "fold $disk" "its content is safe, and the fold is tried again"
	guest_reads $disk 0 64k 7
	well
	ctl "fold $disk" || job_is_done $disk
	image_reads $disk raw 0 64k 7
	kill_serving
	guest_reads $disk 0 64k 7
	stop_daemon
}
promise "whoever started the daemon may ignore SIGCHLD: qemu-img's failures are seen, and so is the end of a daemon" ignored_children

commit_needs_it() {
	rm -f "$STATE"/layers/*.template
	ill create 'echo "qemu-img: No space left on device" >&2; exit 1'
	start_daemon -o "qemu-img=$program" -o qemu-timeout=2
	same "$(status_of a.img .state)" failed
	[[ $(status_of a.img .last_error) == *"cannot be served until a reset succeeds"* ]]
	refuses head -c 1 "$MNT/a.img"
	ctl_fails ENOSPC 'reset a.img' "No space left on device"
	well
	ctl 'reset a.img'
	guest_reads a.img 0 64k 7
	ctl 'reset b.qcow2'
	guest_reads b.qcow2 0 64k 8
	stop_daemon
}
promise "without templates and qemu-img a disk says that it cannot be served, and a later reset helps" commit_needs_it
