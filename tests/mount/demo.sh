#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `make demo` proves what it says, fails when that is not so, and leaves nothing behind, however it ends.
. "$TESTLIB"
need_fuse
need qemu-img qemu-io

# The programs as the demo finds them: the ones of the build, or what a test puts in their place.
PROGRAMS=$WORK/programs
mkdir "$PROGRAMS"
export TMPDIR=$WORK/tmp
mkdir "$TMPDIR"

real_programs() {
	ln -sf "$REVERTFS" "$REVERTFS_HOOK" "$PROGRAMS"
	rm -f "$PROGRAMS/qemu-io" "$WORK/calls"
}

# in_the_middle COMMAND: it runs when the demo calls qemu-io for the fourth time.
in_the_middle() {
	cat >"$PROGRAMS/qemu-io" <<-SCRIPT
		#!/bin/bash
		echo >>"$WORK/calls"
		[[ \$(wc -l <"$WORK/calls") != 4 ]] || { $1; }
		exec "$(command -v qemu-io)" "\$@"
		SCRIPT
	chmod +x "$PROGRAMS/qemu-io"
}

# Prints its exit status; what the demo printed is in $WORK/demo.log.
demo() {
	local status=0
	BUILD=$PROGRAMS bash "$TESTS/demo" >"$WORK/demo.log" 2>&1 &
	echo $! >"$WORK/demo.pid"
	wait $! || status=$?
	echo "$status"
}

nobody_serves() {
	! pgrep -x revertfs >/dev/null
}

nothing_is_left() {
	same "$(ls -A "$TMPDIR")" ""
	! grep -F " - fuse.revertfs " /proc/self/mountinfo
	wait_until 20 nobody_serves
}

runs_to_its_end() {
	real_programs
	same "$(demo)" 0
	nothing_is_left
}
promise "the demo runs to its end, proves each step, and leaves no mount, process or file" runs_to_its_end

is_plain_text() {
	! grep -q $'\e' "$WORK/demo.log"
	grep -qF '$ echo reset vm1.qcow2 >mnt/.revertfs/control' "$WORK/demo.log"
}
promise "into a file it writes plain text, with each command" is_plain_text

fails_without_a_reset() {
	real_programs
	rm "$PROGRAMS/revertfs-hook"
	printf '#!/bin/sh\n: >>hooks.log\n' >"$PROGRAMS/revertfs-hook"
	chmod +x "$PROGRAMS/revertfs-hook"
	same "$(demo)" 1
	grep -qF "it is not so that the guest's power cycle" "$WORK/demo.log"
	nothing_is_left
}
promise "it fails when what it says is not so" fails_without_a_reset

is_ended() {
	real_programs
	in_the_middle "kill -TERM \$(cat '$WORK/demo.pid')"
	same "$(demo)" 143
	nothing_is_left
}
promise "ended in the middle, it leaves nothing" is_ended

loses_its_daemon() {
	real_programs
	in_the_middle "pkill -KILL -x revertfs"
	same "$(demo)" 1
	nothing_is_left
}
promise "with its daemon killed in the middle, it fails and leaves nothing" loses_its_daemon
