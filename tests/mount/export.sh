#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An export is a flat file that reads as the layer did when it was asked for, under its own name whole or not at all, with a
# sidecar that is right; it goes nowhere it must not, belongs to whoever asked, and leaves nothing behind when it fails.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io sha256sum

OUT=$WORK/out SHARED=$WORK/shared
mkdir "$OUT" "$SHARED" && chmod 1777 "$SHARED"
make_image web1.qcow2 qcow2 16M 1
make_image raw1.img raw 8M 2
start_daemon -o export-dirs="$SHARED" -o group=users || fail "the daemon starts"
ctl "protect web1.qcow2" >&2 && ctl "protect raw1.img" >&2 || fail "two disks are protected"

# flat FILE FORMAT OFFSET LENGTH PATTERN: it reads so, and names no other file.
flat() {
	same "$(qemu-img info --output=json "$1" | jq -r '"\(.format) \(."backing-filename")"')" "$2 null"
	[[ $2 == raw ]] || qemu-img check -q -f "$2" "$1" >&2
	qemu_io -r -f "$2" -c "read -q -P $5 $3 $4" "$1"
}

# Nothing half-made in the directories, and nothing that says so in the state.
nothing_left() {
	same "$(find "$OUT" "$SHARED" "$IMAGES" -name '.revertfs-*')" ""
	same "$(ls "$STATE/makings")" ""
}

sidecar_is_right() {
	local file=$1
	same "$(jq -r .sha256 "$file.json")" "$(checksum "$file")"
	same "$(jq -r .bytes "$file.json")" "$(stat -c %s "$file")"
}

# A disk that is written takes long to export: data that cannot be shared or skipped.
fill() {
	head -c "$2" /dev/urandom >"$WORK/random"
	qemu-img dd -f raw -O raw if="$WORK/random" of="$WORK/random.dd" 2>/dev/null || cp "$WORK/random" "$WORK/random.dd"
	qemu_io -f qcow2 -c "write -q -s $WORK/random 0 $2" "$MNT/$1"
}

the_head_of_each_format() {
	local answer
	answer=$(ctl "export web1.qcow2 to=$OUT/a.qcow2")
	flat "$OUT/a.qcow2" qcow2 0 16M 1
	same "$(jq -r .sha256 <<<"$answer")" "$(checksum "$OUT/a.qcow2")"
	same "$(jq -r '"\(.to) \(.uncommitted) \(.consistency)"' <<<"$answer")" "$OUT/a.qcow2 false clean"
	ctl "export web1.qcow2 to=$OUT/a.raw format=raw"
	flat "$OUT/a.raw" raw 0 16M 1
	ctl "export raw1.img to=$OUT/r.qcow2 compress=yes"
	flat "$OUT/r.qcow2" qcow2 0 8M 2
	ctl "export raw1.img to=$OUT/r.raw format=raw rate=100M"
	cmp "$OUT/r.raw" "$IMAGES/raw1.img"
	nothing_left
}
promise "the head is exported flat, as qcow2, raw or compressed" the_head_of_each_format

the_sidecar() {
	local file=$OUT/a.qcow2
	sidecar_is_right "$file"
	sidecar_is_right "$OUT/r.qcow2"
	same "$(jq -r '"\(.disk) \(.point) \(.image) \(.format) \(.virtual_size) \(.consistency)"' "$file.json")" \
		"web1.qcow2 null web1.qcow2 qcow2 16777216 clean"
	same "$(jq -r .layer "$file.json")" "$(status_of web1.qcow2 .head)"
	same "$(stat -c '%a %u' "$file") $(stat -c '%a %u' "$file.json")" "600 0 600 0"
}
promise "... and the sidecar beside it says what it is, with its checksum" the_sidecar

a_snapshot() {
	guest_write web1.qcow2 1M 64k 3
	ctl "snapshot web1.qcow2 one note=\"before the update\""
	guest_write web1.qcow2 1M 64k 4
	ctl "commit web1.qcow2"
	guest_write web1.qcow2 1M 64k 5
	ctl "export web1.qcow2 to=$OUT/one.qcow2 point=one"
	flat "$OUT/one.qcow2" qcow2 1M 64k 3
	same "$(jq -r '"\(.point) \(.note) \(.layers | length > 0)"' "$OUT/one.qcow2.json")" "one before the update true"
	same "$(ctl "export web1.qcow2 to=$OUT/head.qcow2" | jq .uncommitted)" true
	flat "$OUT/head.qcow2" qcow2 1M 64k 4
	guest_reads web1.qcow2 1M 64k 5
	ctl "reset web1.qcow2"
}
promise "a snapshot or the head; the answer says that the scratch's changes are not in it" a_snapshot

while_a_guest_writes() {
	local holder
	coproc { exec qemu-io -f qcow2 "$MNT/web1.qcow2"; } 2>/dev/null
	holder=$COPROC_PID
	echo "write -P 9 0 1M" >&"${COPROC[1]}"
	is_open() {
		same "$(status_of web1.qcow2 .open)" 1
	}
	wait_until 10 is_open
	ctl "export web1.qcow2 to=$OUT/busy.qcow2 point=one"
	flat "$OUT/busy.qcow2" qcow2 1M 64k 3
	kill "$holder"
	wait "$holder" || :
	ctl "reset web1.qcow2"
}
promise "... while the disk is being written" while_a_guest_writes

nothing_is_overwritten() {
	local sum
	sum=$(checksum "$OUT/a.qcow2")
	ctl_fails EEXIST "export web1.qcow2 to=$OUT/a.qcow2" "replace=yes"
	touch "$OUT/b.qcow2.json"
	ctl_fails EEXIST "export web1.qcow2 to=$OUT/b.qcow2" "b.qcow2.json"
	same "$(checksum "$OUT/a.qcow2")" "$sum"
	[[ ! -e $OUT/b.qcow2 ]]
	ctl "export web1.qcow2 to=$OUT/a.qcow2 replace=yes"
	flat "$OUT/a.qcow2" qcow2 1M 64k 4
	sidecar_is_right "$OUT/a.qcow2"
	mkdir "$OUT/dir"
	ln -s a.qcow2 "$OUT/link"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/dir replace=yes" "not a regular file"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/link replace=yes" "not a regular file"
	nothing_left
}
promise "what is there is replaced with replace=yes alone, and only a file" nothing_is_overwritten

places_that_are_refused() {
	local path
	ln -s "$STATE" "$OUT/state"
	ln -s "$IMAGES" "$OUT/images"
	ln -s "$MNT" "$OUT/mnt"
	for path in "$MNT/x" "$MNT/.revertfs/x" "$STATE/x" "$STATE/layers/x" "$STATE/disks/web1.qcow2/x" "$IMAGES/x" \
		"$OUT/state/x" "$OUT/state/layers/x" "$OUT/images/x" "$OUT/mnt/x" "$OUT/../mnt/x" relative/x "$OUT/" "$OUT/.."; do
		ctl_fails EINVAL "export web1.qcow2 to=\"$path\""
	done
	ctl_fails ENOENT "export web1.qcow2 to=$OUT/none/x"
	ctl_fails ENOTDIR "export web1.qcow2 to=$OUT/a.qcow2/x"
	ctl_fails ENOENT "export web1.qcow2 to=$OUT/x point=none" "no snapshot 'none'"
	ctl_fails ENOENT "export none to=$OUT/x"
	ctl_fails EINVAL "export web1.qcow2" "to=PATH"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/x format=vmdk"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/x format=raw compress=yes"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/x rate=fast"
	[[ ! -e $OUT/x ]]
	nothing_left
}
promise "neither into the mount, nor the state, nor the images, by whatever path" places_that_are_refused

# as_other COMMAND: by a user that may use the control file, and owns nothing.
as_other() {
	local answer
	# shellcheck disable=SC2016 # the inner shell expands it
	answer=$(MNT=$MNT setpriv --reuid 4321 --regid "$(getent group users | cut -d : -f 3)" --clear-groups bash -c '
		exec {control}<>"$MNT/.revertfs/control" && printf "%s\n" "$1" >&"$control"; cat <&"$control"' - "$1" 2>/dev/null)
	echo "$answer"
	jq -e '.ok == true' <<<"$answer" >/dev/null
}

other_fails() {
	local answer
	answer=$(as_other "$2") && { echo "not refused: $2: $answer" >&2; return 1; }
	jq -e --arg e "$1" '.errno == $e' <<<"$answer" >/dev/null || { echo "$2: $answer" >&2; return 1; }
}

other_users() {
	local users
	users=$(getent group users | cut -d : -f 3)
	other_fails EPERM "export web1.qcow2 to=$OUT/other.qcow2"
	other_fails EPERM "export web1.qcow2 to=${SHARED}x/other.qcow2"
	as_other "export web1.qcow2 to=$SHARED/other.qcow2 point=one"
	flat "$SHARED/other.qcow2" qcow2 1M 64k 3
	same "$(stat -c '%u:%g %a' "$SHARED/other.qcow2" "$SHARED/other.qcow2.json" | sort -u)" "4321:$users 600"
	# Not another's directory, not another's file, and not by a link or upwards.
	mkdir -m 755 "$SHARED/roots"
	ln -s "$OUT" "$SHARED/link"
	echo mine >"$SHARED/file"
	other_fails EPERM "export web1.qcow2 to=$SHARED/roots/x"
	other_fails ELOOP "export web1.qcow2 to=$SHARED/link/x"
	other_fails EINVAL "export web1.qcow2 to=$SHARED/../out/x"
	other_fails EPERM "export web1.qcow2 to=$SHARED/file replace=yes"
	mkdir "$SHARED/own" && chown 4321 "$SHARED/own"
	as_other "export web1.qcow2 to=$SHARED/own/x"
	as_other "export web1.qcow2 to=$SHARED/own/x replace=yes"
	same "$(cat "$SHARED/file")" mine
	same "$(find "$OUT" -user 4321)" ""
	nothing_left
}
promise "others than root export into export-dirs alone, follow no link, and own what they made" other_users

# milliseconds COMMAND...
milliseconds() {
	local from=${EPOCHREALTIME/./}
	"$@" >&2
	echo $(((${EPOCHREALTIME/./} - from) / 1000))
}

# Of 20 GiB alone, the SHA-256 would take from ten seconds to a minute. The ten seconds here are for a busy machine.
sparse() {
	local copying exporting
	truncate -s 20G "$IMAGES/sparse.img"
	qemu_io -f raw -c 'write -q -P 6 10G 8M' "$IMAGES/sparse.img"
	ctl "protect sparse.img" >&2
	copying=$(milliseconds qemu-img convert -f raw -O raw "$IMAGES/sparse.img" "$OUT/converted")
	exporting=$(milliseconds ctl "export sparse.img to=$OUT/sparse.raw format=raw")
	echo "qemu-img convert: $copying ms, export: $exporting ms" >&2
	((exporting < 5 * copying + 10000))
	flat "$OUT/sparse.raw" raw 10G 8M 6
	same "$(jq -r '"\(.sha256) \(.bytes) \(.allocated < 16777216)"' "$OUT/sparse.raw.json")" "null 21474836480 true"
	ctl "export sparse.img to=$OUT/sparse.qcow2"
	sidecar_is_right "$OUT/sparse.qcow2"
}
promise "a raw file that is mostly holes takes about as long as with qemu-img convert, and then has no checksum" sparse

checksums_on_demand() {
	same "$(ctl "export web1.qcow2 to=$OUT/none.qcow2 checksum=no" | jq .sha256)" null
	same "$(jq .sha256 "$OUT/none.qcow2.json")" null
	truncate -s 160M "$IMAGES/holes.img"
	ctl "protect holes.img" >&2
	same "$(ctl "export holes.img to=$OUT/holes.raw format=raw" | jq .sha256)" null
	ctl "export holes.img to=$OUT/holes.raw format=raw replace=yes checksum=yes"
	sidecar_is_right "$OUT/holes.raw"
	ctl_fails EINVAL "export web1.qcow2 to=$OUT/x checksum=md5" "checksum must be yes or no"
}
promise "... unless checksum=yes; with checksum=no there is none at all" checksums_on_demand

checksum_is_beyond() {
	[[ $(status_of sparse.img ".jobs[] | select(.step == \"checksum\") | .percent > $1 and .bytes_total == 21474836480") == true ]]
}

the_bar_moves() {
	local pid status=0
	setsid env --default-signal=INT "$REVERTCTL" --mount "$MNT" export sparse.img --to "$OUT/summed.raw" --format=raw --checksum \
		>said 2>lines &
	pid=$!
	wait_until 30 checksum_is_beyond 0.1
	wait_until 30 checksum_is_beyond "$(status_of sparse.img '.job.percent')"
	wait_until 10 grep -qE '^export sparse.img, checksum: [0-9]+%, [0-9.]+. of 20G' lines
	kill -INT "$pid"
	wait "$pid" || status=$?
	same "$status" 130
	[[ ! -e $OUT/summed.raw ]]
	nothing_left
}
promise "... and while it is taken, the status and the bar say how far it is" the_bar_moves

make_image big.img raw 96M
ctl "protect big.img" >&2
head -c 64M /dev/urandom >"$WORK/random"
qemu_io -f qcow2 -c "write -q -s $WORK/random 0 64M" "$MNT/big.img"
ctl "snapshot big.img full" >&2

job_runs() {
	same "$(status_of "$1" '.job.state')" running
}

queued_and_cancelled() {
	local first second
	first=$(ctl "export big.img to=$OUT/slow1 rate=1M wait=no" | jq .job)
	second=$(ctl "export big.img to=$OUT/slow2 rate=1M wait=no" | jq .job)
	ctl_fails EBUSY "export big.img to=$OUT/slow2" "being made already"
	wait_until 10 job_runs big.img
	same "$(status_of big.img '[.jobs[] | "\(.number) \(.kind) \(.state)"] | join(", ")')" \
		"$first export running, $second export waiting"
	# shellcheck disable=SC2016 # eval expands it, each time
	wait_until 20 eval '[[ $(status_of big.img ".job.percent >= 1 and .job.bytes > 0 and .job.seconds_left > 0") == true ]]'
	same "$(status_of big.img '.job.bytes_total >= 64*1024*1024')" true
	same "$(status_of big.img .job.to)" "$OUT/slow1"
	grep -q 'export [0-9]*%' "$MNT/.revertfs/status"
	ctl "cancel big.img job=$second"
	same "$(status_of big.img '.jobs | length')" 1
	ctl "cancel big.img"
	job_is_done big.img
	ctl_fails ENOENT "cancel big.img"
	same "$(find "$OUT" -name '*slow*' | wc -l)" 0
	nothing_left
}
promise "exports wait their turn, show how far they are, and can be cancelled without a trace" queued_and_cancelled

a_waiting_caller_is_told() {
	ctl "export big.img to=$OUT/slow rate=1M" >"$WORK/answer" &
	wait_until 10 job_runs big.img
	ctl "cancel big.img"
	! wait $!
	same "$(jq -r .errno "$WORK/answer")" ECANCELED
	nothing_left
}
promise "... and whoever waits for one is told" a_waiting_caller_is_told

layers_stay_while_they_are_read() {
	ctl "export big.img to=$OUT/slow.raw point=full format=raw rate=4M wait=no"
	wait_until 10 job_runs big.img
	guest_write big.img 0 1M 7
	ctl "commit big.img"
	ctl "delete big.img full"
	ctl_fails EBUSY "fold big.img" "being copied to"
	status_of big.img '.jobs[] | select(.kind == "fold") | .waits_for' | grep -q "being copied to '$OUT/slow.raw'"
	ctl_fails EBUSY "unprotect big.img"
	wait_until 60 job_is_done big.img
	same "$(status_of big.img '.layers | length')" 1
	head -c 96M "$OUT/slow.raw" | cmp -n $((64 << 20)) - "$WORK/random"
	image_reads big.img raw 0 1M 7
}
promise "a layer that is being exported is not folded meanwhile; the fold says what it waits for, and then runs" \
	layers_stay_while_they_are_read

a_killed_qemu_img() {
	ctl "export big.img to=$OUT/killed rate=1M" >"$WORK/answer" &
	wait_until 10 pgrep -f 'qemu-img convert'
	pkill -KILL -f 'qemu-img convert'
	! wait $!
	same "$(jq -r .errno "$WORK/answer")" EIO
	grep -q "killed by signal 9" "$WORK/answer"
	[[ ! -e $OUT/killed && ! -e $OUT/killed.json ]]
	nothing_left
	same "$(status_of big.img '.last_error | contains("killed by signal 9")')" true
}
promise "a killed qemu-img leaves nothing, and is told" a_killed_qemu_img

a_full_disk() {
	small_filesystem "$WORK/small" 32M
	ctl_fails ENOSPC "export big.img to=$WORK/small/big" "are free"
	# Compressed nobody knows beforehand; random data does not shrink.
	ctl_fails ENOSPC "export big.img to=$WORK/small/big compress=yes"
	same "$(ls "$WORK/small")" "lost+found"
	same "$(ls "$STATE/makings")" ""
	ctl "export web1.qcow2 to=$WORK/small/web1 compress=yes"
	sidecar_is_right "$WORK/small/web1"
}
promise "a full disk is found beforehand, or leaves nothing" a_full_disk

a_killed_daemon() {
	ctl "export big.img to=$OUT/crash1 rate=1M wait=no"
	wait_until 10 job_runs big.img
	wait_until 10 compgen -G "$OUT/.revertfs-*"
	kill_daemon
	compgen -G "$OUT/.revertfs-*"
	start_daemon -o export-dirs="$SHARED" -o group=users
	wait_until 10 nothing_left
	[[ ! -e $OUT/crash1 ]]
	ctl "export big.img to=$OUT/crash1"
	sidecar_is_right "$OUT/crash1"
}
promise "what a killed daemon left half-made is removed by the next" a_killed_daemon

an_orderly_end() {
	ctl "export big.img to=$OUT/end1 rate=1M wait=no"
	ctl "export big.img to=$OUT/end2 rate=1M wait=no"
	wait_until 10 job_runs big.img
	stop_daemon
	nothing_left
	[[ ! -e $OUT/end1 && ! -e $OUT/end2 ]]
}
promise "a daemon that is stopped ends its exports, and leaves nothing" an_orderly_end
