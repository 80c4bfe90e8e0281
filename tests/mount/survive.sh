#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whoever has files open, and whoever waits for an answer, does not notice that the daemon is killed, at whatever moment: no
# error, no wrong byte, nothing done twice, and nothing left behind when all is closed.
#
#	make check T=mount/survive KILLS=500 SEED=17
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io fio
posix=$BUILD/tools/posix
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "SEED=$SEED, ${KILLS:=50} kills a load" >&2

# A filesystem of its own for the images shows, by its free space, what is still held of files that are gone.
small_filesystem "$IMAGES" 400M || { skip "survive: no loop mounts"; exit 0; }
make_image vm.qcow2 qcow2 256M
make_image plain.img raw 8M 1
start_kept -o protect=vm.qcow2 || fail "the keeper and its daemon start"
if ((SLOW > 1)); then KILLS=$((KILLS / 3)); fi

# ---- the loads; each goes on from where it was when it is called again

# patterns CACHE: one QEMU block device that stays open, each write read back at once and once more at the end.
patterns() {
	local i block commands=()
	for ((i = 0; i < 60; i++)); do
		block=$((RANDOM % 200)) commands+=("$block $((block % 251 + 1))")
	done
	{
		for i in "${commands[@]}"; do
			echo "write -q -P ${i#* } ${i% *}M $((4 * (RANDOM % 64 + 1)))k"
			echo "read -q -P ${i#* } ${i% *}M 4k"
			((RANDOM % 8)) || echo flush
		done
		for i in "${commands[@]}"; do echo "read -q -P ${i#* } ${i% *}M 4k"; done
	} >"$WORK/commands"
	qemu-io -f qcow2 -t "$1" "$MNT/vm.qcow2" <"$WORK/commands" >"$WORK/qemu-io.out" 2>&1
	! grep -v '^qemu-io> \(qemu-io> \)*$' "$WORK/qemu-io.out" >&2 || return 1
}

verified_files() {
	fio --name=v --directory="$MNT" --size=8M --numjobs=3 --rw=randwrite --bsrange=4k-64k --verify=crc32c --do_verify=1 \
		--ioengine=libaio --iodepth=8 --direct=$((RANDOM % 2)) --randseed="$RANDOM" --fallocate=none \
		--minimal >"$WORK/fio.out" 2>&1 || { cat "$WORK/fio.out" >&2; return 1; }
}

# Lines appended to one file by one process, each of which is there once.
appended() {
	local before i
	touch "$MNT/log"
	before=$(wc -l <"$MNT/log")
	for ((i = 0; i < 500; i++)); do echo "line $((before + i))"; done >>"$MNT/log"
	cmp "$MNT/log" <(seq -f 'line %g' 0 $((before + 499))) >&2
}

# Thousands of creates, renames, links and removals, compared with the same in a plain directory.
metadata() {
	local seed=$RANDOM what words
	mkdir -p "$IMAGES/plain"
	for what in "random $seed 400" unlinked rename listing links xattrs; do
		read -ra words <<<"$what"
		mkdir "$IMAGES/plain/storm" "$MNT/storm"
		(cd "$IMAGES/plain/storm" && exec "$posix" "${words[@]}") >"$WORK/plain.out" 2>&1
		(cd "$MNT/storm" && exec "$posix" "${words[@]}") >"$WORK/mount.out" 2>&1
		diff "$WORK/plain.out" "$WORK/mount.out" >&2 || { echo "in '$what'" >&2; return 1; }
		rm -r "$IMAGES/plain/storm" "$MNT/storm"
	done
}

depth() {
	# shellcheck disable=SC2016 # jq's variable
	status_of vm.qcow2 '([.layers[] | {(.id): .parent}] | add) as $up | [.head | recurse($up[.]; . != null)] | length'
}

# Commands that would fail, or do too much, if they were done twice.
commands() {
	local before i
	for i in 1 2 3; do
		guest_write vm.qcow2 $((RANDOM % 200))M 64k $((RANDOM % 250 + 1))
		before=$(depth)
		ctl "commit vm.qcow2" >&2
		same "$(depth)" $((before + 1))
		ctl "undo vm.qcow2" >&2
		same "$(depth)" "$before"
		same "$(status_of vm.qcow2 '[.layers[].names[] | select(startswith("undone-"))] | length')" 1
		ctl "delete vm.qcow2 $(status_of vm.qcow2 '.layers[].names[] | select(startswith("undone-"))')" >&2
		ctl "snapshot vm.qcow2 point" >&2
		ctl "clone vm.qcow2 clone.qcow2 point=point" >&2
		rm "$MNT/clone.qcow2"
		ctl "delete vm.qcow2 point" >&2
		ctl $'protect plain.img\nset plain.img keep-revisions=1\nunprotect plain.img' >&2
	done
}

promise "patterns through QEMU's block layer, cache=none, under $KILLS kills" under_fire "$KILLS" patterns none
promise "patterns through QEMU's block layer, cache=writeback, under $KILLS kills" under_fire "$KILLS" patterns writeback
promise "the disk is whole afterwards" check_scratch vm.qcow2
promise "verified writes of several processes to files that are no disks, under $KILLS kills" under_fire "$KILLS" verified_files
promise "lines appended to a file, each of them once, under $KILLS kills" under_fire "$KILLS" appended
promise "thousands of changes of names, each done once, under $KILLS kills" under_fire "$KILLS" metadata
ctl "reset vm.qcow2" >/dev/null
ctl "set vm.qcow2 keep-revisions=1000" >/dev/null
promise "commands, each done once and answered, under $KILLS kills" under_fire "$KILLS" commands

# ---- nothing is left

# Of the daemon's descriptors, the ones that are no file of the images or state directory.
descriptors() {
	find "/proc/$(serving_pid)/fd" -type l -printf '%l\n' 2>/dev/null | sort | sed 's/[0-9]\+/N/g' | uniq -c
}

used_space() {
	sync -f "$IMAGES"
	df --output=used "$IMAGES" | tail -n 1
}

nothing_is_left() {
	local before after
	rm -f "$MNT"/v.*
	ctl "reset vm.qcow2" >/dev/null
	wait_until 10 job_is_done vm.qcow2
	same "$(status .handles)" 0
	before=$(used_space)
	# What is written, held by a backing id that nobody lets go, would stay.
	under_fire 5 verified_files
	rm -f "$MNT"/v.*
	space_is_back() { (($(used_space) <= before + 64)); }
	wait_until 10 space_is_back || { echo "$before KiB before, $(used_space) now" >&2; return 1; }
	forgotten() {
		echo 2 >/proc/sys/vm/drop_caches
		(($(status .nodes) <= 8))
	}
	wait_until 10 forgotten || { echo "$(status .nodes) nodes" >&2; return 1; }
	after=$(find "/proc/$(serving_pid)/fd" -type l | wc -l)
	((after < 64)) || { descriptors >&2; return 1; }
}
promise "when all is closed, no descriptor, node or backing file is left" nothing_is_left

promise "the mount ends, and daemon and keeper with it" stop_daemon

# Ten first daemons, each killed as fast as a shell can once the mount has answered.
killed_at_the_first_answer() {
	local keeper daemon i
	for ((i = 0; i < 10; i++)); do
		launch_daemon -o keeper
		keeper=$(daemon_pid)
		daemon=
		until [[ $daemon ]]; do read -r daemon _ <"/proc/$keeper/task/$keeper/children" || kill -0 "$keeper"; done
		until mount_answers; do kill -0 "$keeper"; done
		kill -KILL "$daemon"
		wait_until 20 another_serves "$daemon"
		stop_daemon
	done
}
promise "a first daemon that is killed at its first answer is followed by another" killed_at_the_first_answer
