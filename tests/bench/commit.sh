#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What keeping MIB=1024 of changes costs: until the VM may start again, and until the image holds them. With a default overlay both
# are the end of `qemu-img commit`. The changes lie in the host's cache alone, as a guest's last writes do, or on the medium.
. "$BENCHLIB"

MIB=${MIB:-1024}
overlay=$WORK/overlay.qcow2

make_image disk.qcow2 qcow2 20G
make_image plain.qcow2 qcow2 20G
start_daemon -o protect=disk.qcow2 || exit 1

nanoseconds() {
	echo $((${EPOCHREALTIME/./} * 1000))
}

write_changes() {
	qemu_io -t writeback -f qcow2 -c "write -q -P $((RANDOM % 250 + 1)) 0 ${MIB}M" "$1" || return
	[[ $2 == cached ]] || sync -f "$WORK"
}

# ours cached|synced, theirs cached|synced: samples, not a number.
ours() {
	local begun
	write_changes "$MNT/disk.qcow2" "$1" || return
	begun=$(nanoseconds)
	ctl 'commit disk.qcow2' >/dev/null || return
	sample "ours/$1/start" $(($(nanoseconds) - begun))
	ctl 'fold disk.qcow2' >/dev/null || return
	sample "ours/$1/image" $(($(nanoseconds) - begun))
}

theirs() {
	local begun
	qemu-img create -q -f qcow2 -b "$IMAGES/plain.qcow2" -F qcow2 "$overlay" && write_changes "$overlay" "$1" || return
	begun=$(nanoseconds)
	qemu-img commit -q -f qcow2 "$overlay" && rm "$overlay" || return
	sample "theirs/$1" $(($(nanoseconds) - begun))
}

for ((round = 0; round < ROUNDS; round++)); do
	for where in synced cached; do
		sync -f "$WORK"
		if ((round % 2)); then ours "$where" && theirs "$where"; else theirs "$where" && ours "$where"; fi || exit 1
	done
done
heading "A commit of $MIB MiB, against 'qemu-img commit' of a default overlay"
for where in synced cached; do
	text="changes on the medium"
	[[ $where == synced ]] || text="changes in the cache"
	compare "$text: the VM may start" "ours/$where/start" "theirs/$where" ""
	compare "$text: the image holds them" "ours/$where/image" "theirs/$where" ""
done
