#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Templates as people prepare them: what a thin clone does not have is said, what stands against its start is said before that, and what is
# offered works when it is typed.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io
PATH=$BUILD:$PATH

start_daemon || fail "the daemon starts"

uuid() {
	printf '00000000-0000-4000-8000-%012d' "$1"
}
begins() {
	ctl "prepare $(uuid "$2") domain=d$2 $MNT/$1 target=vda" >&2
}
ends() {
	ctl "release $(uuid "$2") domain=d$2 reason=${3:-shutdown} vda source=$MNT/$1" >&2
}
# quoted WORDS: the first command in quotes of what was said that begins so.
quoted() {
	grep -o "'$1[^']*'" "$WORK/said" | head -n 1 | tr -d "'"
}
# typed WORDS: what stands in quotes is typed as it stands, behind 'revertctl' and into the control file.
typed() {
	local command
	command=$(quoted "$1")
	test -n "$command"
	ctl "$command" >&2
}
says_so() {
	grep -qF -- "$1" "$WORK/said" || { cat "$WORK/said" >&2; return 1; }
}

# As virt-sysprep -d does, outside of any session.
prepared() {
	make_image "$1" qcow2 8M 1
	ctl "protect $1"
	guest_write "$1" 0 64k 2
}

thin_clone() {
	prepared tpl.qcow2
	revertctl clone tpl.qcow2 c1.qcow2 2>"$WORK/said" >&2
	says_so "what was written to the disk 'tpl.qcow2' since its head is not in its clone 'c1.qcow2'"
	grep -qF "what was written to the disk 'tpl.qcow2' since its head is not in its clone 'c1.qcow2'" "$DAEMON_LOG"
	guest_reads c1.qcow2 0 64k 1
	typed 'commit tpl'
	begins c1.qcow2 1
	guest_reads c1.qcow2 0 64k 2
	ends c1.qcow2 1
	# Now there is nothing to say.
	same "$(revertctl clone tpl.qcow2 c2.qcow2 2>&1)" "tpl.qcow2: cloned"
	guest_reads c2.qcow2 0 64k 2
}
promise "a thin clone of a template that was prepared and not committed says so, and has it after the commit that is offered" thin_clone

other_clones() {
	prepared two.qcow2
	ctl "snapshot two.qcow2 p"
	guest_write two.qcow2 0 64k 3
	ctl "clone two.qcow2 f1.qcow2 follow=no" | tee "$WORK/said" | jq -e '.uncommitted and (.warning | test("made then has it"))' >&2
	same "$(ctl "clone two.qcow2 f2.qcow2 point=p")" '{"ok":true}'
	ctl "clone two.qcow2 f3.qcow2 full=yes" | jq -e '.uncommitted' >&2
	grep -qF "not in its clone 'f3.qcow2'" "$DAEMON_LOG"
	typed 'commit two'
	ctl "reset f1.qcow2"
	guest_reads f1.qcow2 0 64k 2
	rm "$MNT/f1.qcow2"
	same "$(ctl "clone two.qcow2 f1.qcow2 follow=no")" '{"ok":true}'
	guest_reads f1.qcow2 0 64k 3
}
promise "... also one that follows no more, and a full one; a clone of a point lacks nothing" other_clones

in_use() {
	begins two.qcow2 2
	guest_write two.qcow2 0 64k 4
	revertctl clone two.qcow2 r1.qcow2 2>"$WORK/said" >&2
	says_so "it can be committed when nobody uses the disk any more"
	ends two.qcow2 2 saved
	revertctl clone two.qcow2 r2.qcow2 2>"$WORK/said" >&2
	says_so "what the saved domain 'd2' has written to the disk 'two.qcow2' is not in its clone 'r2.qcow2'"
	guest_reads r2.qcow2 0 64k 3
	ctl "reset two.qcow2 force=yes"
}
promise "... and of a running or a saved template" in_use
