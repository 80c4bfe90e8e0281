#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A domain's name where a disk's is wanted is answered with the command that was meant. What is left of a domain that was undefined
# with its storage is explained by doctor, and goes in the steps that it names; nothing is taken from a domain that is still there.
. "$TESTS/libvirt/lib.sh"

make_image rhel.qcow2 qcow2 8M 0x11
make_image data.img raw 8M 0x12
start_host
define_domain rhel "$(uuid_of 1)" "$(disk vda "$IMAGES/rhel.qcow2")" "$(disk vdb "$IMAGES/data.img" raw)"

revertctl() {
	"$REVERTCTL" "$@"
}
PATH=$BUILD:$PATH # sentences are typed as they stand

# exits STATUS COMMAND...: its stdout in $WORK/said, the sentence in $WORK/refusal.
exits() {
	local want=$1 status=0
	shift
	"$@" >"$WORK/said" 2>"$WORK/refusal" </dev/null || status=$?
	same "$status" "$want" || { cat "$WORK/refusal" >&2; return 1; }
}

# ---- a domain's name for a disk's

a_domain_for_a_disk() {
	local disks="'rhel' is a domain; its disks are rhel.qcow2 (vda), data.img (vdb): "
	exits 1 revertctl snapshot rhel p1
	says "'rhel' is a domain, and none of its disks is protected: 'revertctl adopt rhel' has them revert"
	typed "$WORK/refusal" 'revertctl adopt'
	exits 1 revertctl snapshot rhel p1 --note='as typed'
	says "$disks'revertctl snapshot rhel.qcow2 p1 --note=\"as typed\"' and so on, or 'revertctl snapshot rhel p1 --note=\"as typed\" --live' for all"
	exits 1 revertctl snapshot rhel p1
	typed "$WORK/refusal" 'revertctl snapshot rhel.qcow2'
	typed "$WORK/refusal" 'revertctl snapshot rhel p1' && return 1 # the name is taken on the first disk by now
	revertctl delete rhel.qcow2 p1
	typed "$WORK/refusal" 'revertctl snapshot rhel p1'
	for words in 'revert rhel p1' 'revert rhel p1 --discard' 'delete rhel p1' 'tree rhel' 'commit rhel' 'reset rhel --force' 'fold rhel' 'unprotect rhel' \
		'set rhel keep-revisions=0' 'clone rhel lab.qcow2' 'cancel rhel' 'protect rhel'; do
		read -ra words <<<"$words"
		exits 1 revertctl "${words[@]}"
		says "$disks'revertctl ${words[0]} rhel.qcow2"
	done
	exits 1 revertctl undo rhel
	says "$disks'revertctl undo rhel.qcow2' and so on"
	exits 1 revertctl export rhel --to="$WORK/copy"
	says "or 'revertctl export rhel --to=$WORK/copy --live' for all of it at one instant"
	exits 1 revertctl revert rhel p1
	typed "$WORK/refusal" 'revertctl revert'
	exits 1 revertctl delete rhel p1
	typed "$WORK/refusal" 'revertctl delete'
	revertctl delete data.img p1
	exits 1 revertctl delete rhel.qcow2 no-such-point
	says "no-such-point"
	exits 1 revertctl reset nobody
	says "there is no disk 'nobody'; 'revertctl status' lists them"
}
promise "a domain's name where a disk's is wanted is answered with its disks and the command" a_domain_for_a_disk

while_it_runs() {
	start_domain rhel
	guest_io rhel vda 'write -P 0x22 0 1M'
	exits 1 revertctl reset rhel --connect=nosuch:///
	says "'rhel' is a domain; its disks are data.img (vdb), rhel.qcow2 (vda): 'revertctl reset data.img' and so on"
	exits 4 revertctl snapshot rhel.qcow2 'a point'
	says "disk 'rhel.qcow2' is open for writing; stop the domain or program that uses it first, or use 'revertctl snapshot rhel \"a point\" --live'"
	exits 4 revertctl snapshot rhel.qcow2 p2
	typed "$WORK/refusal" 'revertctl snapshot'
	same "$(points data.img)" p2
	destroy_domain rhel
	revertctl delete rhel.qcow2 p2
	revertctl delete data.img p2
	exec 9<>"$MNT/rhel.qcow2"
	exits 4 revertctl snapshot rhel.qcow2 p2
	refuses grep -e --live "$WORK/refusal"
	exec 9>&-
}
promise "a running disk's snapshot is refused with the one that works, and libvirt need not answer" while_it_runs
