# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A disk with commits that are not folded yet, their fold, and what must be so when one has been cut short.

# shellcheck disable=SC2034,SC2154 # shared with lib.sh and the scripts
options=()
lost_is_fine=yes # a folded layer's file, when the crash came between its record's end and its own

first=("write -q -P 2 1M 512k" "write -q -P 3 3000k 7k" "write -q -z 2M 64k")
second=("write -q -P 4 1200k 900k" "write -q -P 5 0 3k")
third=("write -q -P 6 1300k 100k" "write -q -P 7 3800k 64k")

writes() {
	local write arguments=()
	for write; do arguments+=(-c "$write"); done
	qemu_io -f qcow2 "${arguments[@]}" "$MNT/$disk"
}

# commits COUNT: one or two.
commits() {
	ctl "protect $disk"
	ctl "set $disk keep-revisions=9"
	writes "${first[@]}"
	(($1 == 1)) || ctl "commit $disk"
	writes "${second[@]}"
	ctl "commit $disk"
}

# fold_setup NAME FORMAT COMMITS: the disk of this script, and the models of what it reads as.
fold_setup() {
	disk=$1 format=$2
	make_image "$disk" "$format" 4M 1
	qemu-img convert -f "$format" -O raw "$IMAGES/$disk" "$WORK/before.raw"
	model one before "${first[@]}"
	model two one "${second[@]}"
	model three two "${third[@]}"
	start_daemon "${options[@]}"
	commits "$3"
	keep_setup
}

nothing() {
	:
}

dirty() {
	writes "${third[@]}"
}

fold() {
	ctl "set $disk keep-revisions=0"
	ctl "fold $disk"
}

folded_in_the_end() {
	local model=$1 top=$2
	same "$(which "$disk" "$top")" "$top"
	ctl "set $disk keep-revisions=0"
	wait_until 20 job_is_done "$disk"
	same "$(status_of "$disk" '.layers | length')" 1
	same "$(which "$disk" "$top")" "$top"
	is_sound "$disk"
	is_mended
	image_is "$disk" "$format" "$model"
	image_is_sound "$disk"
	same "$(status_of "$disk" .last_error)" null
}

is_folded() {
	folded_in_the_end two two
}

# The scratch on top keeps the guest's bytes while the layer below it goes; flushed, for a power cut.
dirty_folded() {
	folded_in_the_end two three
	ctl "commit $disk" >&2
	ctl "fold $disk" >&2
	image_is "$disk" "$format" three
}
