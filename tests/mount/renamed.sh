#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a hook that renames images has left behind is told from other overlays, and both ways out are said: typed as they
# stand, one throws the overlay's session away, the other keeps it. No header leads anywhere.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

# A sentence has room for the commands where paths are about as long as on a host.
mkdir -p "$IMAGES" && mount --bind "$IMAGES" /mnt && IMAGES=/mnt || fail "the images are at /mnt"
start_daemon || fail "the daemon starts"

# left NAME FORMAT [BACKING]: the image has 0x11, the overlay that lies in its place 0x22 in its first 64 KiB.
left() {
	local aside
	aside=$(basename "$1").backing_file
	rm -f "$IMAGES/$1" "$IMAGES/$1.backing_file"
	make_image "$1.backing_file" "$2" 8M 0x11
	qemu-img create -q -f qcow2 -b "$aside" -F "$2" "$IMAGES/$1" 8M
	qemu_io -f qcow2 -c 'write -q -P 0x22 0 64k' "$IMAGES/$1"
	qemu-img rebase -u -f qcow2 -F "$2" -b "${3:-$aside}" "$IMAGES/$1"
}

# refused NAME [ERRNO]: the sentence is in $WORK/refusal.
refused() {
	ctl "protect \"$1\"" >"$WORK/answer" && return 1
	jq -r .error "$WORK/answer" | tee "$WORK/refusal" >&2
	same "$(jq -r .errno "$WORK/answer")" "${2:-EINVAL}"
}

# way N: the Nth command of the sentence, by a shell.
way() {
	local command
	command=$(grep -o "'\(mv\|qemu-img\) [^']*'" "$WORK/refusal" | sed -n "$1p" | tr -d "'")
	echo "typed: $command" >&2
	bash -c "$command" >&2
}

# becomes_a_disk NAME FORMAT FIRST: its first 64 KiB read FIRST, and nothing is left beside it.
becomes_a_disk() {
	[[ ! -e $IMAGES/$1.backing_file ]]
	ctl "protect \"$1\" format=$2"
	guest_reads "$1" 0 64k "$3"
	guest_reads "$1" 64k 1M 0x11
	ctl "unprotect \"$1\""
}

both_ways() {
	local format name
	for format in raw qcow2; do
		# shellcheck disable=SC2016 # a name that a shell must not read
		for name in vm.img 'a b$(touch oops)&.img'; do
			left "$name" "$format"
			refused "$name"
			grep -qF "'$name' is an overlay of a hook that renames images, and the image is '$name.backing_file'" "$WORK/refusal"
			way 1
			becomes_a_disk "$name" "$format" 0x11
			left "$name" "$format"
			refused "$name"
			way 2
			becomes_a_disk "$name" "$format" 0x22
		done
	done
	[[ ! -e oops ]]
}
promise "the sentence's commands throw away what an overlay has, or keep it" both_ways

other_spellings() {
	local backing
	mkdir "$IMAGES/sub"
	for backing in "$IMAGES/vm.img.backing_file" ./vm.img.backing_file sub/../vm.img.backing_file "$WORK/moved/vm.img.backing_file"; do
		left vm.img raw "$backing"
		refused vm.img
		way 2
		becomes_a_disk vm.img raw 0x22
	done
	left sub/vm.img qcow2
	refused sub/vm.img
	way 2
	becomes_a_disk sub/vm.img qcow2 0x22
}
promise "the image is known however the header spells it" other_spellings

# A command that is cut off is another command.
long_names() {
	local deep
	deep=$(printf '%0100d' 0)
	mkdir "$IMAGES/$deep"
	left "$deep/vm.img" raw
	refused "$deep/vm.img"
	grep -q "'revertctl adopt' its domain with --from-renaming-hook," "$WORK/refusal"
	grep -q "is to stay$" "$WORK/refusal"
	deep=$deep/$deep
	mkdir "$IMAGES/$deep"
	left "$deep/vm.img" raw
	rm "$IMAGES/$deep/vm.img"
	refused "$deep/vm.img" ENOENT
	grep -q "'revertctl adopt' its domain with --from-renaming-hook has it back$" "$WORK/refusal"
}
promise "where the commands are too long for a sentence, it names another way" long_names

other_overlays() {
	make_image base.img raw 8M 0x11
	left vm.img raw "$IMAGES/base.img"
	refused vm.img
	grep -q "image 'vm.img' has a backing file; make a plain copy" "$WORK/refusal"
	left vm.img raw /etc/shadow
	refused vm.img
	grep -q "has a backing file; make a plain copy" "$WORK/refusal"
	left vm.img raw
	mv "$IMAGES/vm.img.backing_file" "$IMAGES/moved.img"
	refused vm.img
	grep -q "has a backing file; make a plain copy" "$WORK/refusal"
	ln -s moved.img "$IMAGES/vm.img.backing_file"
	refused vm.img
	grep -q "has a backing file; make a plain copy" "$WORK/refusal"
	rm "$IMAGES/vm.img.backing_file" && mkfifo "$IMAGES/vm.img.backing_file"
	refused vm.img
	grep -q "has a backing file; make a plain copy" "$WORK/refusal"
	rm "$IMAGES/vm.img.backing_file"
}
promise "an overlay on anything else is refused as before" other_overlays

with_a_data_file() {
	left vm.img raw
	qemu-img create -q -f qcow2 -o data_file="$WORK/data" "$IMAGES/with-data" 8M
	qemu-img rebase -u -f qcow2 -F raw -b vm.img.backing_file "$IMAGES/with-data"
	mv "$IMAGES/with-data" "$IMAGES/vm.img"
	refused vm.img
	grep -q "external data file" "$WORK/refusal"
}
promise "an overlay that names a data file as well gets no command that would follow it" with_a_data_file

written() {
	left vm.img raw
	exec 9<>"$IMAGES/vm.img"
	refused vm.img EBUSY
	exec 9>&-
	grep -q "is open for writing: shut the domain down that runs on it" "$WORK/refusal"
}
promise "an overlay that somebody writes is left to that hook" written

half_done() {
	left vm.img qcow2
	rm "$IMAGES/vm.img"
	refused vm.img ENOENT
	way 1
	becomes_a_disk vm.img qcow2 0x11
}
promise "an image that was renamed and got no overlay is had back by the sentence's command" half_done
