#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What an image is, is not guessed: no download that failed becomes a disk, and where a raw image was changed outside revertfs and looks like
# another format, nobody takes it for raw, nor writes a fold over its header. What a guest wrote, and a fold put there, stays the guest's.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

uuid=00000000-0000-4000-8000-000000000001
qemu-img create -q -f qcow2 "$WORK/good" 8M && qemu_io -f qcow2 -c 'write -q -P 0x33 0 1M' "$WORK/good"
start_daemon || fail "the daemon starts"

prepare="prepare $uuid domain=d1 NAME target=vda"

# fresh NAME: a raw disk of zeros. replace NAME FILE: as a download does. overwrite NAME FILE: as cp does.
fresh() {
	truncate -s 8M "$IMAGES/$1"
	ctl "protect $1" >/dev/null
}

replace() {
	cp "$2" "$WORK/new"
	mv "$WORK/new" "$IMAGES/$1"
}

overwrite() {
	cat "$2" >"$IMAGES/$1"
}

# typed NAME: the last sentence's 'unprotect ...' and 'protect ...', as they stand there.
typed() {
	local answer command
	answer=$(ctl "reset $1") && return 1
	for command in unprotect protect; do
		ctl "$(grep -o "'$command [^']*'" <<<"$answer" | tr -d "'")"
	done
}

no_disk_is_made_of_a_text() {
	echo '<html>404</html>' >"$IMAGES/small.qcow2"
	yes '<p>404</p>' | head -c 1M >"$IMAGES/page.img" || :
	: >"$IMAGES/empty.img"
	ctl_fails EINVAL 'protect small.qcow2' 'protect small.qcow2 format=raw'
	ctl_fails EINVAL 'protect page.img' 'looks like a text'
	ctl_fails EINVAL 'protect empty.img' 'protect empty.img format=raw'
	ctl_fails EINVAL "${prepare/NAME/page.img}" 'looks like a text'
	same "$(status '.disks | length')" 0
	ctl 'protect page.img format=raw'
	ctl 'unprotect page.img'
	truncate -s 512 "$IMAGES/empty.img"
	ctl 'protect empty.img'
	ctl 'unprotect empty.img'
}

right_file_in_its_place() {
	replace small.qcow2 "$WORK/good"
	ctl "${prepare/NAME/small.qcow2}"
	guest_reads small.qcow2 0 1M 0x33
	ctl "release $uuid domain=d1 reason=shutdown"
	ctl 'unprotect small.qcow2'
}

other_formats_are_refused() {
	local format n=0 name
	for format in qcow2 vmdk vdi vhdx vpc qed parallels; do
		name=$format-$((n++ % 2 == 0)).img
		qemu-img create -q -f "$format" "$WORK/other" 8M
		fresh "$name"
		if ((n % 2)); then replace "$name" "$WORK/other"; else overwrite "$name" "$WORK/other"; fi
		ctl_fails EBUSY "reset $name" 'but the disk is raw'
		ctl_fails EBUSY "${prepare/NAME/$name}" "'unprotect $name'"
		cmp "$IMAGES/$name" "$WORK/other"
		typed "$name"
		cmp "$IMAGES/$name" "$WORK/other"
		ctl "unprotect $name"
	done
}

text_is_refused() {
	fresh text.img
	yes '<p>404</p>' | head -c 1M >"$WORK/other" || :
	overwrite text.img "$WORK/other"
	ctl_fails EBUSY "${prepare/NAME/text.img}" 'looks like a text'
	ctl_fails EBUSY "${prepare/NAME/text.img}" "put the right image back, or 'unprotect text.img' makes an ordinary file of it"
	truncate -s 8M "$WORK/zeros"
	overwrite text.img "$WORK/zeros"
	ctl 'reset text.img'
}

taken_as_what_it_is() {
	fresh taken.img
	replace taken.img "$WORK/good"
	typed taken.img
	same "$(status_of taken.img .format)" qcow2
	guest_reads taken.img 0 1M 0x33
}

nothing_is_folded_into_it() {
	fresh layers.img
	ctl 'set layers.img keep-revisions=1'
	guest_write layers.img 0 64k 0x22
	ctl 'commit layers.img'
	guest_write layers.img 0 64k 0x44
	replace layers.img "$WORK/good"
	ctl_fails EBUSY 'commit layers.img' 'looks like qcow2'
	ctl_fails EBUSY 'snapshot layers.img one' 'looks like qcow2'
	ctl 'set layers.img keep-revisions=0'
	ctl_fails EBUSY 'fold layers.img' 'looks like qcow2'
	ctl_fails EBUSY 'set layers.img image=new' 'looks like qcow2'
	# Its size says that no guest has written it.
	ctl_fails EBUSY 'set layers.img image=unchanged' 'looks like qcow2'
	ctl_fails EBUSY 'set layers.img image=as-is' 'looks like qcow2'
	ctl_fails EBUSY 'set layers.img size=16M' 'looks like qcow2'
	restart_daemon
	ctl_fails EBUSY 'fold layers.img' 'looks like qcow2'
	cmp "$IMAGES/layers.img" "$WORK/good"
	typed layers.img
	same "$(find "$STATE/lost" -type f | wc -l)" 2
	guest_reads layers.img 0 1M 0x33
}

put_back() {
	truncate -s 8M "$WORK/old"
	fresh back.img
	guest_write back.img 0 64k 0x22
	replace back.img "$WORK/good"
	ctl_fails EBUSY 'commit back.img' 'put the old image back'
	replace back.img "$WORK/old"
	ctl 'set back.img image=unchanged'
	ctl 'commit back.img'
	guest_reads back.img 0 64k 0x22
}

# The header that a guest writes: of a qcow2 file that names another as its backing file.
guests_header_stays_raw() {
	qemu-img create -q -u -f qcow2 -b /etc/shadow -F raw "$WORK/header" 8M
	fresh guest.img
	qemu_io -f qcow2 -c "write -q -s $WORK/header 0 64k" "$MNT/guest.img"
	ctl 'commit guest.img'
	ctl 'fold guest.img'
	cmp -n 65536 "$IMAGES/guest.img" "$WORK/header"
	ctl 'reset guest.img'
	restart_daemon
	ctl "${prepare/NAME/guest.img}"
	qemu_io -f qcow2 -c 'write -q -P 0x22 1M 64k' "$MNT/guest.img"
	ctl "release $uuid domain=d1 reason=shutdown vda armed=yes"
	ctl 'fold guest.img'
	image_reads guest.img raw 1M 64k 0x22
	same "$(status_of guest.img .virtual_size)" $((8 << 20))
}

touched_is_asked_about() {
	touch "$IMAGES/guest.img"
	ctl_fails EBUSY "${prepare/NAME/guest.img}" "'set guest.img image=unchanged' if its guest wrote that"
	ctl 'set guest.img image=unchanged'
	ctl "${prepare/NAME/guest.img}"
	ctl "release $uuid domain=d1 reason=shutdown"
	cmp -n 65536 "$IMAGES/guest.img" "$WORK/header"
}

clones_name_their_template() {
	fresh gold.img
	ctl 'clone gold.img lab.img'
	replace gold.img "$WORK/good"
	ctl_fails EBUSY "${prepare/NAME/lab.img}" "remove its clones ('lab.img') with rm, then 'unprotect gold.img' and 'protect gold.img'"
	rm "$MNT/lab.img"
	typed gold.img
	guest_reads gold.img 0 1M 0x33
	ctl 'clone gold.img lab.img'
	guest_reads lab.img 0 1M 0x33
}

qcow2_that_is_none_any_more() {
	replace q.qcow2 "$WORK/good"
	ctl 'protect q.qcow2'
	replace q.qcow2 "$WORK/zeros"
	ctl_fails EBUSY 'reset q.qcow2' 'looks like raw, but the disk is qcow2'
	typed q.qcow2
	same "$(status_of q.qcow2 .format)" raw
}

# What a guest writes is never at the start of a qcow2 file.
qcow2_that_is_a_vmdk() {
	replace v.qcow2 "$WORK/good"
	ctl 'protect v.qcow2'
	qemu-img create -q -f vmdk "$WORK/vmdk" 8M
	replace v.qcow2 "$WORK/vmdk"
	ctl_fails EBUSY 'reset v.qcow2' 'looks like VMDK' "lets you convert it with qemu-img convert"
	refuses ctl_fails EBUSY 'reset v.qcow2' 'a guest wrote'
}

promise "a text, or what is smaller than a sector, becomes a disk with format=raw alone" no_disk_is_made_of_a_text
promise "the right file in its place is protected at the next start" right_file_in_its_place
promise "a raw image that looks like another format is refused, and both ways out can be typed" other_formats_are_refused
promise "a raw image that was replaced by a text is refused, and a disk of zeros is not" text_is_refused
promise "after the way out the disk is what the image is" taken_as_what_it_is
promise "neither a commit nor a fold touches an image that looks like another format, nor does a restart forget it" nothing_is_folded_into_it
promise "the old image can be put back, and nothing is lost" put_back
promise "a header that a guest wrote stays the guest's, through fold and restart" guests_header_stays_raw
promise "such an image that was touched is asked about, and an administrator's word is taken" touched_is_asked_about
promise "a clone names the template whose image it is, and the way out works" clones_name_their_template
promise "a qcow2 disk whose image is none any more is refused" qcow2_that_is_none_any_more
promise "a qcow2 disk with a VMDK in its place is not offered as raw" qcow2_that_is_a_vmdk
