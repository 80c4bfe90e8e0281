#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# How scratches are made and where: with options that small writes profit from, chosen by the administrator; in RAM, records and
# layers never; and synced when a guest flushes if somebody may want to keep it, otherwise not.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
restart_with() {
	stop_daemon
	PROGRAM=$REVERTFS_FAULTS start_daemon "$@"
}

make_image d.img raw 64M 1
restart_with -o protect=d.img || fail "the daemon starts"

# What qemu-img finds in the scratch.
scratch_has() {
	same "$(qemu-img info -U --output=json "$MNT/d.img" | jq -c '."format-specific".data."extended-l2", ."cluster-size"' | tr '\n' ' ')" "$1 "
}

scattered_writes() {
	local commands=() i
	for ((i = 0; i < 255; i++)); do commands+=(-c "write -q -P 2 $((i * 256))k 4k"); done
	qemu_io -t unsafe -f qcow2 "${commands[@]}" "$1"
}

extended_l2() {
	scratch_has "true 131072"
	scattered_writes "$MNT/d.img"
	qemu-img create -q -f qcow2 -b "$IMAGES/d.img" -F raw "$WORK/default.qcow2"
	scattered_writes "$WORK/default.qcow2"
	((10 * $(status_of d.img .scratch_bytes) < $(stat -c "%b * %B" "$WORK/default.qcow2"))) ||
		{ echo "$(status_of d.img .scratch_bytes) bytes, a default overlay $(stat -c "%b * %B" "$WORK/default.qcow2")"; return 1; }
	ctl 'reset d.img'
}
promise "scattered small writes take a tenth of the space that a default overlay needs" extended_l2

# A head keeps the template that it has.
other_options() {
	guest_write d.img 0 1M 5
	restart_with -o 'template=cluster_size=32k\,lazy_refcounts=on'
	ctl 'set d.img keep-revisions=1'
	ctl 'commit d.img'
	scratch_has "false 32768"
	guest_write d.img 1M 1M 6
	guest_reads d.img 0 1M 5
	ctl 'reset d.img'
	guest_reads d.img 0 1M 5
	guest_reads d.img 1M 63M 1
	ctl 'set d.img keep-revisions=0'
	wait_until 20 job_is_done d.img
	restart_with
	scratch_has "true 131072"
}
promise "template= says how the scratches of new heads are made" other_options

nonsense() {
	make_image other.img raw 1M
	restart_with -o template=no_such_option=1
	ctl_fails EIO 'protect other.img' 'the log has what it said'
	grep -q "qemu-img create failed: .*no_such_option" "$DAEMON_LOG"
	guest_write d.img 0 1M 7 # what has a template goes on
	ctl 'reset d.img'
	guest_reads d.img 0 1M 5
	restart_with
}
promise "options that qemu-img does not know are refused, and the log has its words" nonsense

# ---- a guest's flush

syncs_of_scratches() {
	grep -c '^[0-9]* sync .*scratch' "$TRACE" || :
}

# flush_syncs YES|NO: what a guest's flush does to the open scratch.
flush_syncs() {
	local before after
	before=$(syncs_of_scratches)
	dd if=/dev/zero of="$MNT/d.img" bs=64k count=1 seek=500 conv=notrunc,fsync status=none
	after=$(syncs_of_scratches)
	if ((after > before)); then same yes "$1"; else same no "$1"; fi
}

begin() {
	ctl "prepare $uuid domain=d d.img target=vda $*"
}

end() {
	ctl "release $uuid domain=d reason=shutdown vda"
}

flushes() {
	begin
	flush_syncs no
	end
	begin armed=yes
	flush_syncs yes
	ctl "release $uuid domain=d reason=crashed vda"
	begin leftover=keep
	flush_syncs yes
	end
	ctl 'set d.img durability=strict'
	begin
	flush_syncs yes
	end
	ctl 'set d.img durability=relaxed'
	flush_syncs yes # without a session
	ctl 'reset d.img'
}
for mode in no auto; do
	restart_with -o passthrough=$mode || fail "the daemon starts with passthrough=$mode"
	promise "a flush syncs unless the session ends in a reset, passthrough=$mode" flushes
done

# ---- in RAM

# One file for each scratch; the state directory's has been left behind as it was.
in_ram() {
	same "$(find "$WORK/shm" -type f | wc -l)" 1
	same "$(find "$STATE" -name 'scratch*' -newer "$WORK/moved" | wc -l)" 0
}

elsewhere() {
	touch "$WORK/moved"
	mkdir "$WORK/shm"
	mount -t tmpfs -o size=512M none "$WORK/shm"
	restart_with -o scratch="$WORK/shm"
	in_ram
	scattered_writes "$MNT/d.img"
	ctl 'snapshot d.img kept'
	in_ram
	guest_write d.img 0 1M 8
	ctl 'reset d.img'
	guest_reads d.img 0 4k 2
	guest_reads d.img 4k 64k 5
	in_ram
	check_scratch d.img
}
promise "scratches lie in RAM, layers and records do not" elsewhere

# An empty tmpfs is what a boot finds.
after_a_boot() {
	guest_write d.img 0 1M 9
	kill_daemon
	umount -l "$WORK/shm"
	mount -t tmpfs -o size=512M none "$WORK/shm"
	another_boot
	restart_with -o scratch="$WORK/shm"
	same "$(status_of d.img .state)" pristine
	guest_reads d.img 0 4k 2
	guest_reads d.img 4k 64k 5
	guest_write d.img 0 1M 9
	ctl 'reset d.img'
	restart_with
	guest_reads d.img 0 4k 2
}
promise "what lay in RAM is gone after a boot, and the disk begins afresh on its head" after_a_boot

no_room() {
	stop_daemon
	umount "$WORK/shm"
	mount -t tmpfs -o size=2M none "$WORK/shm"
	restart_with -o scratch="$WORK/shm"
	refuses qemu_io -f qcow2 -c 'write -P 3 0 8M' "$MNT/d.img"
	ctl 'reset d.img'
	guest_reads d.img 4k 64k 5
}
promise "RAM that a guest has filled is an error for it, and a reset frees it" no_room
