#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Templates as people prepare them: what a thin clone does not have is said, what stands against its start is said before that, and what is
# offered works when it is typed.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io
PATH=$BUILD:$PATH

start_daemon || fail "the daemon starts"

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

# ---- a template that was changed in its place, as 'virt-sysprep -a IMAGE' does

changed() {
	qemu_io -f "${2:-qcow2}" -c 'write -q -P 9 0 64k' "$IMAGES/$1"
}

# takes DISK...: each begins with the new content; where its start is refused, after the commands that are offered have been typed.
takes() {
	local disk tries way
	for disk; do
		for tries in 1 2 3; do
			ctl "prepare $(uuid_of 8) domain=d8 $MNT/$disk target=vda" >"$WORK/answer" && break
			jq -r .error "$WORK/answer" | tee "$WORK/said" >&2
			way=$(grep -oE "'(reset|delete|set) [^']*'" "$WORK/said" | grep -v image=unchanged | head -n 1 | tr -d "'")
			ctl "$way" >&2
		done
		ctl "release $(uuid_of 8) domain=d8 reason=shutdown vda source=$MNT/$disk" >&2
		guest_reads "$disk" 0 64k 9
		((tries == ${TRIES:-1})) || { echo "$disk: $tries tries" >&2; return 1; }
	done
}

family() {
	make_image "$1" "${2:-qcow2}" 8M 1
	ctl "protect $1"
	ctl "clone $1 k-$1"
}

nothing_depends() {
	family a.img raw
	ctl "clone a.img n-a.img follow=no"
	ctl "clone k-a.img kk-a.img"
	changed a.img raw
	takes kk-a.img n-a.img k-a.img a.img
	family b.img
	begins k-b.img 3
	guest_write k-b.img 0 64k 3
	ends k-b.img 3
	changed b.img
	takes b.img k-b.img
}
promise "clones without data, of a clone too, take a template that was changed in its place" nothing_depends

ways_out() {
	# Written without a session; kept as data; held; with a layer of its own; at a snapshot of the image itself; at one of a layer.
	family d.img raw
	guest_write k-d.img 1M 64k 3
	changed d.img raw
	TRIES=2 takes k-d.img
	takes d.img
	family e.img raw
	ctl "set k-e.img reverts=no"
	guest_write k-e.img 1M 64k 3
	changed e.img raw
	TRIES=2 takes e.img
	ctl "set k-e.img reverts=yes"
	takes k-e.img
	family h.img
	begins k-h.img 3
	guest_write k-h.img 1M 64k 3
	ends k-h.img 3 saved
	changed h.img
	TRIES=2 takes h.img
	takes k-h.img
	family l.img
	guest_write k-l.img 1M 64k 3
	ctl "commit k-l.img"
	changed l.img
	TRIES=2 takes l.img
	takes k-l.img
	family p.img
	ctl "snapshot p.img p"
	ctl "clone p.img p-p.img point=p"
	changed p.img
	TRIES=2 takes p-p.img
	takes k-p.img p.img
	family q.img
	guest_write q.img 1M 64k 3
	ctl "snapshot q.img p"
	ctl "clone q.img p-q.img point=p"
	changed q.img
	TRIES=2 takes p-q.img
	takes k-q.img q.img
	family c.img
	ctl "set c.img keep-revisions=2"
	guest_write c.img 1M 64k 3
	ctl "commit c.img"
	changed c.img
	TRIES=2 takes k-c.img
	takes c.img
}
promise "what stands on the old template is named, and each command that is offered has clone and template begin with the new one" ways_out

one_runs() {
	family r.img
	ctl "clone r.img r2-r.img"
	begins k-r.img 3
	sleep 1000 8<>"$MNT/k-r.img" &
	changed r.img
	ctl_fails EBUSY "prepare $(uuid_of 4) domain=d4 $MNT/r2-r.img target=vda" "the disk 'k-r.img', which is in use" "stopping its domain ends that"
	revertctl status r.img | tee "$WORK/said" >&2
	says_so "the disk 'k-r.img', which is in use, stands on what it was"
	kill %1
	ends k-r.img 3
	takes r2-r.img k-r.img r.img
}
promise "... where one of them runs, it is named, and is to be stopped" one_runs

said_at_once() {
	family s.img
	ctl "clone s.img k2-s.img"
	guest_write k2-s.img 0 64k 3
	changed s.img
	same "$(status_of k-s.img .image_trouble)" null
	revertctl status k-s.img | tee "$WORK/said" >&2
	says_so "changes in the scratch of the disk 'k2-s.img' stand on what it was"
	revertctl status k2-s.img | tee "$WORK/said2" >&2
	grep -qF "changes in the scratch stand on what it was" "$WORK/said2"
	status_of k-s.img .image_trouble | grep -qF "'reset k2-s.img' gives them up"
	grep -qF "changes in the scratch of the disk 'k2-s.img' stand" "$MNT/.revertfs/status"
	ctl_fails EBUSY "clone s.img k3-s.img" "'reset k2-s.img' gives them up"
	[[ ! -e $MNT/k3-s.img ]]
	ctl "set s.img image=unchanged"
	same "$(status '[.disks[].image_trouble | select(.)] | length')" 0
	touch "$IMAGES/s.img"
	revertctl --json doctor >"$WORK/found" || :
	same "$(jq '[.findings[] | select(.check == "disks" and (.what | test("-?s.img.: its image was changed outside revertfs")))] | length' "$WORK/found")" 3
	typed 'reset k2'
	revertctl --json doctor >"$WORK/found" || :
	same "$(jq '[.findings[] | select(.check == "disks" and (.what | test("its image was changed")))] | length' "$WORK/found")" 0
	same "$(status '[.disks[] | select(.name | test("s.img")) | .image_trouble, .last_error | select(.)] | length')" 0
	takes k-s.img k2-s.img s.img
}
promise "status, doctor and clone say at once what the start would refuse, and no more when that is over" said_at_once

# What is put back is what it was.
put_back() {
	family u.img
	guest_write k-u.img 0 64k 3
	cp --preserve=all "$IMAGES/u.img" "$WORK/u.img"
	changed u.img
	revertctl status u.img | grep -qF "its image was changed"
	dd if="$WORK/u.img" of="$IMAGES/u.img" conv=notrunc status=none
	touch -r "$WORK/u.img" "$IMAGES/u.img"
	revertctl status u.img >"$WORK/said"
	if says_so "its image was changed"; then return 1; fi
	guest_reads k-u.img 0 64k 3
}
promise "... as where the template is put back" put_back

kept_data() {
	family v.img
	begins k-v.img 3
	guest_write k-v.img 0 64k 3
	ctl_fails EBUSY "set k-v.img reverts=no" "in a session"
	kill_daemon
	start_daemon
	ctl "set k-v.img reverts=no" | jq -r .error >"$WORK/said"
	says_so "disk 'k-v.img' has what a session left"
	typed 'reset k-v'
	ctl_fails EINVAL "set k-v.img reverts=maybe"
	# Of a session that no release has ended nothing is left, either.
	begins k-v.img 3
	kill_daemon
	start_daemon
	same "$(status_of k-v.img '"\(.session.active) \(.state)"')" "false pristine"
	ctl "set k-v.img reverts=no"
	guest_write k-v.img 0 64k 4
	same "$(status_of k-v.img '"\(.session) \(.kept) \(.leftover) \(.properties.reverts)"')" "null unhooked null false"
	another_boot
	kill_daemon
	start_daemon
	guest_reads k-v.img 0 64k 4
	same "$(status_of k-v.img .properties.reverts)" false
}
promise "a disk that keeps its data has it after a host crash, whatever session there was before" kept_data
