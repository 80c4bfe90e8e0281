#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A domain's name where a disk's is wanted is answered with the command that was meant. What is left of a domain that was undefined
# with its storage is explained by doctor, and goes in the steps that it names; nothing is taken from a domain that is still there.
. "$TESTS/libvirt/lib.sh"

make_image rhel.qcow2 qcow2 8M 0x11
make_image data.img raw 8M 0x12
start_host
define_domain rhel "$(uuid_of 1)" "$(disk vda "$IMAGES/rhel.qcow2")" "$(disk vdb "$IMAGES/data.img" raw)"

CONFIG=/etc/libvirt/hooks/config

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

# ---- what is left of a domain

# doctor STATUS: its findings in $WORK/found. found WORDS FIX: such a warning about files is there.
doctor() {
	exits "$1" revertctl doctor --json
	cp "$WORK/said" "$WORK/found"
}

found() {
	jq -re --arg w "$1" --arg f "$2" \
		'.findings[] | select(.level == "warning" and .check == "files" and (.what | contains($w)) and (.fix | contains($f))) | .fix' "$WORK/found" >"$WORK/fix" ||
		{ jq -c '.findings[] | select(.level != "fine")' "$WORK/found" >&2; return 1; }
}

# What disown may change.
everything() {
	find "$CONFIG" -type f -exec sh -c 'echo "$1"; cat "$1"' sh {} ';' | sort
	status '[.disks[] | "\(.name) \(.state) \(.properties)"] | sort | join("\n")'
	virsh list --all --name
	find "$IMAGES" | sort
}

unchanged() {
	everything >"$WORK/before"
	"$@"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
}

vol_delete() {
	virsh -q pool-refresh mnt >&2
	refuses virsh -q vol-delete rhel.qcow2 --pool mnt
	says "cannot unlink file '$MNT/rhel.qcow2': Operation not permitted"
	if command -v virt-clone; then
		virt-clone -q --original rhel --name copy --file "$MNT/copy.qcow2" --file "$MNT/copy.img" >&2
		virsh -q undefine copy --remove-all-storage >&2 # plain ones go
		[[ ! -e $IMAGES/copy.qcow2 && ! -e $IMAGES/copy.img ]]
	fi
	virsh -q vol-clone rhel.qcow2 copy.qcow2 --pool mnt >&2
	same "$(qemu-img info --output=json "$IMAGES/copy.qcow2" | jq -r '."backing-filename"')" null
	image_reads copy.qcow2 qcow2 0 8M 0x11
	define_domain copy "$(uuid_of 4)" "$(disk vda "$MNT/copy.qcow2")"
	revertctl adopt copy
	start_domain copy
	guest_io copy vda 'write -P 0x33 0 1M'
	destroy_domain copy
	at_rest copy.qcow2
	revertctl disown copy
	virsh -q undefine copy >&2
	virsh -q vol-delete copy.qcow2 --pool mnt >&2
	[[ ! -e $IMAGES/copy.qcow2 ]]
}
directory_pool mnt "$MNT"
promise "vol-delete removes no protected disk; what vol-clone made is plain, and can be adopted" vol_delete

undefined() {
	start_domain rhel
	destroy_domain rhel
	refuses virsh -q undefine rhel --remove-all-storage
	says "Operation not permitted"
	refuses virsh -q dominfo rhel
	doctor 1
	found "'$CONFIG/rhel.json' is for a domain that libvirt does not have, as after 'virsh undefine'; its disk 'rhel.qcow2' is still protected" \
		"'revertctl disown rhel' clears that, and then 'rm $MNT/rhel.qcow2' removes what it had"
	unchanged revertctl disown rhel --dry-run >"$WORK/said"
	grep -qx "rhel: nothing was changed" "$WORK/said"
	grep -qx "  rhel.qcow2: would no longer be protected; 'rm $MNT/rhel.qcow2' removes its image" "$WORK/said"
	grep -qx "  $CONFIG/rhel.json: would be removed" "$WORK/said"
	revertctl complete disown rh >"$WORK/said"
	same "$(tr '\n' ' ' <"$WORK/said")" "rhel rhel.qcow2 "
}
promise "a domain that was undefined with its storage is explained by doctor" undefined

# Each of these keeps disown from doing anything.
disown_refused() {
	guest_write data.img 0 64k 7
	unchanged exits 4 revertctl disown rhel
	says "disk 'data.img' has changes that its image has not: say --changes=commit to keep them, or --changes=discard"
	ctl 'snapshot data.img p3'
	unchanged exits 4 revertctl disown rhel --changes=discard
	says "disk 'data.img' has snapshots ('p3')"
	ctl 'delete data.img p3'
	wait_until 20 job_is_done data.img
	guest_write data.img 0 64k 8
	ctl 'clone rhel.qcow2 c1.qcow2'
	unchanged exits 4 revertctl disown rhel --changes=commit
	says "disk 'rhel.qcow2' has clones"
	rm "$MNT/c1.qcow2"
	unchanged exits 1 revertctl disown rhel --target vda
	exec 9<>"$MNT/data.img"
	ctl 'set rhel.qcow2 reverts=no'
	unchanged exits 4 revertctl disown rhel --changes=discard
	says "everything is as it was"
	ctl 'set rhel.qcow2 reverts=yes'
	exec 9>&-
	# It has another name by now.
	define_domain rhel9 "$(uuid_of 5)" "$(disk vda "$MNT/rhel.qcow2")"
	doctor 1
	found "its disk 'rhel.qcow2' is domain 'rhel9''s now" "correct its name"
	unchanged exits 4 revertctl disown rhel --changes=discard
	says "disk 'rhel.qcow2' is domain 'rhel9''s disk 'vda' now: remove '$CONFIG/rhel.json', or give it that domain's name"
	unchanged exits 4 revertctl disown rhel.qcow2
	says "'revertctl disown rhel9 --target vda' gives that its image back"
	virsh -q undefine rhel9 >&2
	unchanged exits 1 revertctl disown nobody
	says "libvirt has no domain 'nobody', and there is no disk of this name, nor a file '$CONFIG/nobody.json'"
	unchanged exits 1 revertctl disown rhel --connect=nosuch:///
	# Another libvirt knows nothing of this host's domains: neither of the one that is gone, nor of one that is there.
	define_domain there "$(uuid_of 5)" "$(disk vda "$MNT/rhel.qcow2")"
	for word in rhel there rhel.qcow2; do
		unchanged exits 1 revertctl disown "$word" --changes=discard --connect=test:///default
		says "'test:///default' is not the libvirt whose domains use this host's disks"
	done
	exits 1 revertctl doctor --connect=test:///default --json
	jq -e '[.findings[] | select(.level == "warning" and .check != "disks") | .check + ": " + .fix] == ["libvirt: say --connect=qemu:///system"]' "$WORK/said" >&2
	virsh -q undefine there >&2
}
promise "what another domain has, or would be lost, is not cleared, and then nothing is" disown_refused

cleared() {
	doctor 1
	found "still protected" "disown"
	refuses typed "$WORK/fix" 'revertctl disown' # changes: as above
	exits 0 revertctl disown rhel --changes=discard
	grep -qx "rhel: disowned" "$WORK/said"
	grep -o "'rm [^']*'" "$WORK/said" | tr -d "'" >"$WORK/typed"
	[[ ! -e $CONFIG/rhel.json ]]
	same "$(status '.disks | length')" 0
	doctor 0
	image_reads data.img raw 0 64k 7
	same "$(wc -l <"$WORK/typed")" 2
	bash -e "$WORK/typed"
	same "$(find "$IMAGES" -maxdepth 1 -type f)" ""
}
promise "disown clears it as doctor has it typed, doctor is content, and rm removes the images" cleared

# Adopted, and never started; a full clone beside a thin one; by the disk's name, and where the log does not say.
other_ways() {
	make_image a.qcow2 qcow2 8M 1
	make_image b.qcow2 qcow2 8M 1
	define_domain ab "$(uuid_of 6)" "$(disk vda "$IMAGES/a.qcow2")" "$(disk vdb "$IMAGES/b.qcow2")"
	revertctl adopt ab
	virsh -q undefine ab >&2
	doctor 1
	found "its disk 'a.qcow2' is still protected" ""
	exits 0 revertctl disown a.qcow2 --json
	jq -e '.disowned == "a.qcow2" and .disks[0].target == "vda"' "$WORK/said"
	jq -e '[.disks[].target] == ["vdb"]' "$CONFIG/ab.json"
	typed "$WORK/fix" 'revertctl disown' # ab, as doctor said before
	[[ ! -e $CONFIG/ab.json ]]
	same "$(status '.disks | length')" 0

	ctl 'protect a.qcow2'
	ctl 'clone a.qcow2 c2.qcow2'
	define_domain thin "$(uuid_of 7)" "$(disk vda "$MNT/c2.qcow2")"
	revertctl adopt thin
	virsh -q undefine thin >&2
	doctor 1
	found "its disk 'c2.qcow2' is still there" "'rm $MNT/c2.qcow2'"
	typed "$WORK/fix" 'revertctl disown'
	typed "$WORK/fix" 'rm'
	same "$(status '[.disks[].name] | join(" ")')" a.qcow2
	doctor 0

	domain_json forgotten <<<'{"disks":[{"target":"vda"}]}'
	doctor 1
	found "forgotten.json' is for a domain that libvirt does not have" "remove the file"
	exits 0 revertctl disown forgotten
	grep -qx "  vda: which disk that was is not known" "$WORK/said"
	typed "$WORK/said" 'revertctl disown'
	[[ ! -e $CONFIG/forgotten.json ]]
	same "$(status '.disks | length')" 0
	doctor 0
}
promise "... also of a domain that never ran, of a clone, by a disk's name, and where nobody knows the disk" other_ways
