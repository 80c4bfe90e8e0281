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

# The daemon asks qemu-img for its version. restart_as VERSION: it gets this answer; all the rest the real one does.
restart_as() {
	cat >"$WORK/qemu-img" <<-END
		#!/bin/bash
		if [[ \$1 == --version ]]; then
			echo "$1"
			exit
		fi
		exec $(command -v qemu-img) "\$@"
	END
	chmod +x "$WORK/qemu-img"
	restart_with -o qemu-img="$WORK/qemu-img"
}

new_disk_has() {
	ctl 'unprotect d.img'
	ctl 'protect d.img'
	scratch_has "$1"
}

by_version() {
	restart_as "qemu-img version 8.2.0 (qemu-kvm-8.2.0-11.el9)"
	new_disk_has "true 131072"
	restart_as "qemu-img version 10.0.2"
	new_disk_has "true 131072"
	restart_as "qemu-img version 8.1.5"
	new_disk_has "false 16384"
	restart_as "who knows"
	new_disk_has "false 16384"
	grep -q "qemu-img --version gave no version; scratches are made as for an old QEMU" "$DAEMON_LOG"
}
promise "scratches have subclusters where QEMU can copy them on read" by_version

# Old QEMUs die of an assertion where only the first part of a cluster is there. The default on this machine.
copied_on_read() {
	local job="$WORK/job"
	restart_with
	ctl 'unprotect d.img'
	ctl 'protect d.img'
	guest_write d.img 1M 4k 2
	qemu_io -C -f qcow2 -c 'read -q -P 1 1028k 64k' "$MNT/d.img"
	guest_write d.img 3M 4k 3
	mkfifo "$job"
	timeout 20 qemu-system-x86_64 -M none -display none -S -qmp stdio <"$job" >"$job.said" \
		-blockdev "driver=qcow2,node-name=d,file.driver=file,file.filename=$MNT/d.img" &
	exec {to_qemu}>"$job"
	printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"block-stream","arguments":{"job-id":"j","device":"d"}}' >&$to_qemu
	wait_until 10 grep -q BLOCK_JOB_COMPLETED "$job.said"
	echo '{"execute":"quit"}' >&$to_qemu
	wait $!
	guest_reads d.img 0 1M 1
	guest_reads d.img 1M 4k 2
	guest_reads d.img 1028k 2044k 1
	guest_reads d.img 3M 4k 3
	guest_reads d.img 3076k 64k 1
	check_scratch d.img
	ctl 'reset d.img'
	guest_reads d.img 0 64M 1
}
if command -v qemu-system-x86_64 >/dev/null; then
	promise "what was written in part is copied on read, and by a block job, and QEMU lives" copied_on_read
else
	skip "what was written in part is copied on read: qemu-system-x86_64 is missing"
fi

# A state of an earlier build, or a QEMU that came later: heads keep what they have, but for what an old QEMU dies of.
old_kind() {
	restart_as "qemu-img version 8.2.0"
	new_disk_has "true 131072"
	ctl 'clone d.img e.img'
	guest_write e.img 1M 4k 2
	restart_as "who knows"
	scratch_has "true 131072"
	restart_as "qemu-img version 7.2.22" # the clone's has data
	scratch_has "true 131072"
	guest_reads e.img 1M 4k 2
	ctl 'reset e.img'
	exec {held}<"$MNT/e.img"
	ctl "prepare $uuid domain=d d.img target=vda"
	restart_as "qemu-img version 7.2.22" # a session
	scratch_has "true 131072"
	ctl "release $uuid domain=d reason=shutdown vda"
	exec {held}<&-
	restart_as "qemu-img version 7.2.22"
	scratch_has "false 16384"
	same "$(qemu-img info -U --output=json "$MNT/e.img" | jq '."cluster-size"')" 16384
	same "$(status '[.disks[].state] | join(" ")')" "pristine pristine"
	guest_write e.img 1M 4k 2
	ctl 'reset e.img'
	guest_reads e.img 0 64M 1
	guest_reads d.img 0 64M 1
	rm "$MNT/e.img"
	restart_as "qemu-img version 8.2.0" # what there is does well
	scratch_has "false 16384"
}
promise "heads of an earlier build lose their subclusters on an old QEMU, once nothing is in their scratches" old_kind

# A crash after the blank was made, and before the scratch.
old_kind_killed() {
	restart_as "qemu-img version 8.2.0"
	new_disk_has "true 131072"
	stop_daemon
	cp "$STATE/disks/d.img/scratch.qcow2" "$WORK/old-scratch"
	touch -r "$STATE/disks/d.img/scratch.qcow2" "$WORK/old-scratch"
	restart_as "qemu-img version 7.2.22"
	scratch_has "false 16384"
	stop_daemon
	cp -p "$WORK/old-scratch" "$STATE/disks/d.img/scratch.qcow2"
	restart_as "qemu-img version 7.2.22"
	scratch_has "false 16384"
	guest_reads d.img 0 64M 1
	same "$(find "$STATE/lost" -type f | wc -l)" 0
}
promise "... also where a crash came in between" old_kind_killed

both_kinds() {
	restart_as "qemu-img version 8.2.0"
	new_disk_has "true 131072"
	guest_write d.img 1M 4k 2
	restart_as "qemu-img version 7.2.22"
	scratch_has "true 131072"
	guest_reads d.img 1M 4k 2
	ctl 'set d.img keep-revisions=2'
	ctl 'commit d.img'
	scratch_has "false 16384"
	guest_write d.img 2M 4k 3
	restart_as "qemu-img version 8.2.0"
	scratch_has "false 16384"
	ctl 'commit d.img'
	scratch_has "true 131072"
	guest_write d.img 3M 4k 4
	guest_reads d.img 0 1M 1
	guest_reads d.img 1M 4k 2
	guest_reads d.img 2M 4k 3
	ctl 'reset d.img'
	ctl 'set d.img keep-revisions=0'
	wait_until 20 job_is_done d.img
	scratch_has "true 131072"
	image_reads d.img raw 1M 4k 2
	image_reads d.img raw 2M 4k 3
	image_reads d.img raw 3M 61M 1
	guest_write d.img 1M 4k 1
	guest_write d.img 2M 4k 1
	ctl 'commit d.img'
	wait_until 20 job_is_done d.img
	guest_reads d.img 0 64M 1
}
promise "heads of both kinds stand on one another, and go on with whatever QEMU there is" both_kinds

extended_l2() {
	restart_as "qemu-img version 8.2.0"
	new_disk_has "true 131072"
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
	restart_as "qemu-img version 8.2.0"
	scratch_has "true 131072" # the image's, as it was before
}
promise "template= says how the scratches of new heads are made" other_options

# ... and where QEMU is killed, it has not counted what it wrote. That is kept, through the folds of two such layers.
not_counted() {
	local i
	make_image lazy.img raw 8M 1
	restart_with -o 'template=lazy_refcounts=on'
	ctl 'protect lazy.img'
	ctl 'set lazy.img keep-revisions=3'
	for i in 2 3; do
		qemu-io -f qcow2 -c "write -q -P $i ${i}M 1M" -c flush -c 'sigraise 9' "$MNT/lazy.img" || :
		same "$(od -An -tu1 -j79 -N1 "$MNT/lazy.img" | tr -d ' ')" 1
		ctl 'commit lazy.img'
	done
	ctl 'set lazy.img keep-revisions=1'
	ctl 'fold lazy.img'
	guest_write lazy.img 4M 1M 4
	ctl 'commit lazy.img'
	ctl 'set lazy.img keep-revisions=0'
	ctl 'fold lazy.img'
	for i in 1 2 3 4; do image_reads lazy.img raw "${i}M" 1M "$i"; done
	ctl 'unprotect lazy.img'
	restart_with
}
promise "a scratch with lazy_refcounts whose QEMU was killed is kept whole" not_counted

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
