#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A live snapshot is what the disk read at that moment, a sound layer beside the head, or nothing at all; the session goes on
# as if nothing had been.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

make_image vm.qcow2 qcow2 32M 1
start_daemon || fail "the daemon starts"
ctl "protect vm.qcow2" >&2 || fail "a disk is protected"
UUID=11111111-2222-3333-4444-555555555555

# The guest: a qemu-io that stays, so that QEMU has the disk open and writes when it is told to. `flush` is what a pause does.
# guest_begin; guest 'write -P 3 0 64k' 'flush'...; guest_end
guest_begin() {
	rm -f "$WORK/guest.in" "$WORK/guest.out"
	mkfifo "$WORK/guest.in"
	# Held open for reading and writing, so that neither side waits for the other.
	exec 8<>"$WORK/guest.in"
	stdbuf -oL qemu-io -f qcow2 "$MNT/vm.qcow2" <"$WORK/guest.in" >"$WORK/guest.out" 2>&1 8<&- &
	echo $! >"$WORK/guest.pid"
	exec 8<&-
	exec 8>"$WORK/guest.in"
	wait_until 10 is_open
	wait_until 10 guest_has_prompted 1
}

is_open() {
	[[ $(status_of vm.qcow2 .open) -ge 1 ]]
}

prompts() {
	grep -o 'qemu-io>' "$WORK/guest.out" | wc -l
}

guest_has_prompted() {
	(($(prompts) >= $1))
}

# One command at a time, each after qemu-io's prompt for it: two that arrive in one read(2) are in its buffer, where it looks
# for the second only when a third comes.
guest() {
	local command before
	for command; do
		before=$(prompts)
		echo "$command" >&8
		wait_until 10 guest_has_prompted $((before + 1))
	done
	if grep -i -E 'failed|error' "$WORK/guest.out" >&2; then return 1; fi
}

# Answers to what comes after it: a flush says nothing.
guest_flushed() {
	guest "$@" flush 'read 0 512'
}

guest_is_gone() {
	! kill -0 "$(cat "$WORK/guest.pid")" 2>/dev/null
}

guest_end() {
	echo quit >&8
	exec 8>&-
	wait_until 10 guest_is_gone
}

# point_is POINT OFFSET LENGTH PATTERN: read through its layer.
point_is() {
	local layer
	layer=$(status_of vm.qcow2 ".layers[] | select(.names | index(\"$1\")) | .id")
	qemu_io -r -f qcow2 -c "read -q -P $4 $2 $3" "$MNT/.revertfs/layers/$layer"
	qemu-img check -q -U -f qcow2 "$MNT/.revertfs/layers/$layer" >&2
}

nothing_is_new() {
	same "$(find "$STATE" -name '*.new')" ""
}

# The blank of the layer that is made ahead is new for a moment.
nothing_left() {
	wait_until 10 nothing_is_new
	same "$(ls "$STATE/lost")" ""
}

begin_session() {
	ctl "prepare $UUID domain=web $MNT/vm.qcow2 target=vda" >&2
}

end_session() {
	ctl "release $UUID domain=web reason=shutdown vda source=$MNT/vm.qcow2" >&2
}

of_a_running_disk() {
	local answer head
	begin_session
	guest_begin
	guest_flushed 'write -P 2 1M 1M'
	head=$(status_of vm.qcow2 .head)
	answer=$(ctl "snapshot vm.qcow2 one live=yes note=\"while it runs\"")
	same "$(jq -r '"\(.copy_ms > 0) \(.reflink | type) \(.bytes >= 1024*1024) \(.consistency)"' <<<"$answer")" \
		"true boolean true crash-consistent"
	guest_flushed 'write -P 3 1M 64k' 'write -P 4 8M 64k' 'read -P 2 1088k 64k'
	ctl "snapshot vm.qcow2 two live=yes consistency=quiesced" >&2
	guest_flushed 'write -P 5 1M 64k' 'read -P 4 8M 64k'
	point_is one 1M 1M 2
	point_is one 8M 64k 1
	point_is two 1M 64k 3
	point_is two 8M 64k 4
	same "$(status_of vm.qcow2 '"\(.head) \(.state) \(.session.domain) \(.session.active)"')" "$head dirty web true"
	same "$(status_of vm.qcow2 '[.layers[] | select(.names != []) | "\(.names[0]) \(.consistency) \(.domain) \(.note) \(.parent)"] | sort | join(", ")')" \
		"one crash-consistent web while it runs $head, two quiesced web null $head"
	guest_end
	end_session
	same "$(status_of vm.qcow2 .state)" pristine
	guest_reads vm.qcow2 1M 1M 1
	point_is one 1M 1M 2
	nothing_left
}
promise "a running disk is copied into a layer beside the head, and goes on" of_a_running_disk

reverting_to_one() {
	ctl "revert vm.qcow2 two"
	guest_reads vm.qcow2 1M 64k 3
	guest_reads vm.qcow2 8M 64k 4
	guest_reads vm.qcow2 16M 1M 1
	ctl "export vm.qcow2 to=$WORK/two.qcow2 point=two"
	same "$(jq -r .consistency "$WORK/two.qcow2.json")" quiesced
	ctl "revert vm.qcow2 one"
	guest_reads vm.qcow2 1M 1M 2
	ctl "delete vm.qcow2 two"
	# "one" is a name on its layer: the image is the parent of nothing else any more.
	ctl "fold vm.qcow2"
	same "$(status_of vm.qcow2 '"\(.layers | length) \(.layers[0].names[0]) \(.layers[0].consistency) \(.layers[0].note)"')" \
		"1 one crash-consistent while it runs"
	image_reads vm.qcow2 qcow2 1M 1M 2
	ctl "delete vm.qcow2 one"
}
promise "... is reverted to, exported, deleted and folded as any other" reverting_to_one

a_session_that_commits() {
	begin_session
	guest_begin
	guest_flushed 'write -P 6 2M 64k'
	ctl "snapshot vm.qcow2 mid live=yes"
	guest_flushed 'write -P 7 2M 64k'
	guest_end
	ctl "commit vm.qcow2 at=release"
	end_session
	guest_reads vm.qcow2 2M 64k 7
	point_is mid 2M 64k 6
	same "$(ctl "fold vm.qcow2" | jq '.waits_for | contains("mid")')" true
	ctl "delete vm.qcow2 mid"
	ctl "fold vm.qcow2"
	image_reads vm.qcow2 qcow2 2M 64k 7
}
promise "the session is committed beside it" a_session_that_commits

of_a_pristine_disk() {
	begin_session
	guest_begin
	same "$(ctl "snapshot vm.qcow2 clean live=yes consistency=clean" | jq -r .layer)" "$(status_of vm.qcow2 .head)"
	guest_end
	end_session
	ctl "delete vm.qcow2 clean"
}
promise "of a disk that was not written the head gets the name" of_a_pristine_disk

refusals() {
	guest_write vm.qcow2 3M 64k 8
	ctl_fails EINVAL "snapshot vm.qcow2 a live=yes consistency=perhaps"
	ctl_fails EINVAL "snapshot vm.qcow2 a consistency=clean"
	ctl_fails EINVAL "snapshot vm.qcow2 a/b live=yes"
	ctl "snapshot vm.qcow2 a live=yes"
	ctl_fails EEXIST "snapshot vm.qcow2 a live=yes"
	ctl "delete vm.qcow2 a"
	same "$(status_of vm.qcow2 '[.layers[].names[]] | length')" 0
	nothing_left
	ctl "reset vm.qcow2"
}
promise "a taken name and unknown words are refused; a stopped disk with changes can be copied, too" refusals

# A guest that was not paused: what was written while it was copied makes the copy worthless.
a_guest_that_writes_on() {
	local n refused=0
	qemu_io -f qcow2 -c 'write -q -P 9 0 24M' "$MNT/vm.qcow2"
	# Open all the while: to open it again would have to wait for the copy.
	dd if=/dev/zero of="$MNT/vm.qcow2" bs=1 seek=20000000 conv=notrunc status=none &
	for ((n = 0; n < 20; n++)); do
		if ! ctl "snapshot vm.qcow2 torn$n live=yes" >"$WORK/answer"; then
			grep -q "written while it was copied" "$WORK/answer" && refused=1
			break
		fi
	done
	kill $!
	wait $! 2>/dev/null || :
	same "$refused" 1
	nothing_left
	ctl "reset vm.qcow2"
	for ((n = n - 1; n >= 0; n--)); do ctl "delete vm.qcow2 torn$n" >&2; done
}
promise "a disk that is written while it is copied is told from one that is paused" a_guest_that_writes_on

hostile_headers() {
	local offset scratch=$STATE/disks/vm.qcow2/scratch.qcow2
	guest_write vm.qcow2 3M 64k 8
	number_at() { od -An -t u8 --endian=big -j "$1" -N 8 "$scratch" | tr -d ' '; }
	ctl_is_refused() { ctl_fails EBADMSG "snapshot vm.qcow2 evil live=yes" "$1"; }
	# The backing file's name begins where the header says: another one, as a broken-out QEMU would write it.
	qemu-img rebase -u -f qcow2 -b /etc/shadow -F raw "$scratch"
	ctl_is_refused "/etc/shadow"
	nothing_left
	same "$(status_of vm.qcow2 '.layers | length')" 1
	ctl "reset vm.qcow2"
	# Tables that contradict themselves: the L1 entry leads nowhere.
	guest_write vm.qcow2 3M 64k 8
	offset=$(number_at 40)
	printf '\x80\x00\x00\x7f\xff\xff\x00\x00' | dd of="$scratch" bs=1 seek="$offset" conv=notrunc status=none
	ctl_is_refused "it has an L2 table at"
	nothing_left
	ctl "reset vm.qcow2"
	# Nor are the clusters counted that it uses.
	guest_write vm.qcow2 3M 64k 8
	offset=$(number_at 48)
	dd if=/dev/zero of="$scratch" bs=1 seek="$(number_at "$offset")" count=16 conv=notrunc status=none
	ctl_fails EIO "snapshot vm.qcow2 evil live=yes" "qemu-img check"
	nothing_left
	same "$(status_of vm.qcow2 '.layers | length')" 1
	ctl "reset vm.qcow2"
}
promise "a copy with a foreign header or broken tables gets no name" hostile_headers

is_copied() {
	same "$(status_of vm.qcow2 .copied)" "$1"
}

# While the copy is held up: a FIFO in place of qemu-img lets us look.
opens_wait_and_writes_go_on() {
	local real waiting
	real=$(command -v qemu-img)
	stop_daemon
	cat >"$WORK/slow-img" <<-SLOW
		#!/bin/bash
		[[ \$1 != check || ! -e $WORK/hold ]] || while [[ -e $WORK/hold ]]; do sleep 0.05; : \$((n++)); done
		exec $real "\$@"
	SLOW
	chmod +x "$WORK/slow-img"
	start_daemon -o qemu-img="$WORK/slow-img"
	begin_session
	guest_begin
	guest_flushed 'write -P 11 4M 64k'
	touch "$WORK/hold"
	ctl "snapshot vm.qcow2 held live=yes" >"$WORK/answer" &
	waiting=($!)
	wait_until 10 is_copied held
	wait_until 10 pgrep -f "slow-img check"
	compgen -G "$STATE/layers/*.qcow2.new"
	guest_flushed 'write -P 12 4M 64k' 'read -P 12 4M 64k'
	head -c 512 "$MNT/vm.qcow2" >"$WORK/opened" &
	waiting+=($!)
	ctl "set vm.qcow2 leftover=keep" >"$WORK/set" &
	waiting+=($!)
	same "$(status_of vm.qcow2 .properties.leftover)" discard
	[[ ! -s $WORK/opened && ! -s $WORK/set ]]
	rm "$WORK/hold"
	wait "${waiting[@]}"
	jq -e .ok "$WORK/answer" "$WORK/set"
	is_copied null
	same "$(stat -c %s "$WORK/opened")" 512
	guest 'read -P 12 4M 64k'
	guest_end
	end_session
	point_is held 4M 64k 11
	ctl "delete vm.qcow2 held"
	ctl "set vm.qcow2 leftover=discard"
	stop_daemon
	start_daemon
}
promise "meanwhile opens and commands wait, reads and writes of who has it open do not" opens_wait_and_writes_go_on

a_killed_check() {
	touch "$WORK/hold"
	stop_daemon
	start_daemon -o qemu-img="$WORK/slow-img"
	guest_write vm.qcow2 3M 64k 13
	ctl "snapshot vm.qcow2 killed live=yes" >"$WORK/answer" &
	wait_until 10 pgrep -f "slow-img check"
	pkill -KILL -f "slow-img check"
	wait $! || :
	same "$(jq -r .errno "$WORK/answer")" EIO
	nothing_left
	guest_reads vm.qcow2 3M 64k 13
	ctl "snapshot vm.qcow2 daemon live=yes" >"$WORK/answer" &
	wait_until 10 compgen -G "$STATE/layers/*.qcow2.new"
	kill_daemon
	wait $! || :
	rm -f "$WORK/hold"
	start_daemon
	nothing_left
	same "$(status_of vm.qcow2 '"\(.state) \(.layers | length)"')" "dirty 1"
	guest_reads vm.qcow2 3M 64k 13
	ctl "reset vm.qcow2"
}
promise "a killed qemu-img, a killed daemon: no snapshot, no leftover, the scratch as it was" a_killed_check

a_full_disk() {
	stop_daemon
	mv "$STATE" "$STATE.large"
	small_filesystem "$STATE" 40M
	rmdir "$STATE/lost+found"
	cp -a "$STATE.large/." "$STATE/"
	start_daemon
	guest_write vm.qcow2 0 20M 14
	ctl_fails ENOSPC "snapshot vm.qcow2 full live=yes" "MiB are free"
	nothing_left
	same "$(status_of vm.qcow2 '.layers | length')" 1
	guest_reads vm.qcow2 0 20M 14
	ctl "reset vm.qcow2"
	guest_write vm.qcow2 0 4M 15
	ctl "snapshot vm.qcow2 fits live=yes"
	point_is fits 0 4M 15
	ctl "delete vm.qcow2 fits"
	ctl "reset vm.qcow2"
	stop_daemon
	umount "$STATE"
	rmdir "$STATE"
	mv "$STATE.large" "$STATE"
}
promise "where the copy does not fit, the guest keeps its space" a_full_disk

scratches_elsewhere() {
	mkdir "$WORK/shm"
	mount -t tmpfs none "$WORK/shm"
	stop_daemon
	start_daemon -o scratch="$WORK/shm"
	guest_write vm.qcow2 0 4M 16
	same "$(ctl "snapshot vm.qcow2 ram live=yes" | jq .reflink)" false
	point_is ram 0 4M 16
	ctl "delete vm.qcow2 ram"
	ctl "reset vm.qcow2"
	stop_daemon
}
promise "a scratch in RAM is copied to the state directory" scratches_elsewhere

# with_reflinks TYPE: the state directory on such a filesystem.
with_reflinks() {
	mv "$STATE" "$STATE.plain"
	rm -f "$STATE.fs"
	small_filesystem "$STATE" 400M "$1"
	cp -a "$STATE.plain/." "$STATE/"
	start_daemon
	guest_write vm.qcow2 0 24M 17
	ctl "snapshot vm.qcow2 shared live=yes" >"$WORK/answer"
	echo "reflink on $1: $(jq -c '[.copy_ms, .reflink, .bytes]' "$WORK/answer")" >&2
	same "$(jq .reflink "$WORK/answer")" true
	guest_write vm.qcow2 0 1M 18
	point_is shared 0 24M 17
	ctl "reset vm.qcow2"
	stop_daemon
	umount "$STATE"
	rmdir "$STATE"
	mv "$STATE.plain" "$STATE"
}
for type in xfs btrfs; do
	if command -v "mkfs.$type" >/dev/null && grep -qw "$type" /proc/filesystems; then
		promise "on $type the copy is a reflink" with_reflinks "$type"
	else
		skip "on $type the copy is a reflink: mkfs.$type or the kernel's support is missing"
	fi
done
