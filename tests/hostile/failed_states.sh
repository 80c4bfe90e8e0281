#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Every verb on a disk in every state that a damaged state directory leads to: each gets an answer, and the daemon goes on.
. "$TESTLIB"
# shellcheck source=tests/hostile/lib.sh
. "$TESTS/hostile/lib.sh"

STATES=(record_unreadable record_empty record_foreign image_gone image_changed layer_record_unreadable layer_record_gone
	layer_file_gone layer_file_torn scratch_foreign parent_cycle head_unknown session_unreadable)
uuid=11111111-1111-1111-1111-111111111111

# Each disk has two commits, of which none is folded, a snapshot, something written, and a clone that begins there.
prepare_disk() {
	guest_write "$1" 0 64k 2
	ctl "commit $1"
	guest_write "$1" 0 64k 3
	ctl "snapshot $1 point"
	guest_write "$1" 0 64k 4
	ctl "commit $1"
	ctl "clone $1 clone-$1 point=point"
	guest_write "$1" 64k 64k 5
}

# The layers that the disk stands on.
head_of() {
	# shellcheck disable=SC2153 # STATE is of lib.sh
	jq -r .head "$STATE/disks/$1/disk.json"
}

parent_of() {
	jq -r .parent "$STATE/layers/$(head_of "$1").json"
}

damage() {
	local disk=$1.qcow2 record=$STATE/disks/$1.qcow2/disk.json head parent
	head=$STATE/layers/$(head_of "$disk")
	parent=$STATE/layers/$(parent_of "$disk")
	case $1 in
	record_unreadable) echo garbage >"$record" ;;
	record_empty) : >"$record" ;;
	record_foreign) echo '{"head":[1,{}],"keep_revisions":-1,"hold":7}' >"$record" ;;
	image_gone) rm "$IMAGES/$disk" ;;
	image_changed) truncate -s +64k "$IMAGES/$disk" ;;
	layer_record_unreadable) echo garbage >"$head.json" ;;
	layer_record_gone) rm "$parent.json" ;;
	layer_file_gone) rm "$head.qcow2" ;;
	layer_file_torn) truncate -s 512 "$parent.qcow2" ;;
	scratch_foreign) dd if=/dev/zero of="$STATE/disks/$disk/scratch.qcow2" bs=4096 count=1 conv=notrunc status=none ;;
	parent_cycle) jq --arg id "$(head_of "$disk")" '.parent = $id' "$parent.json" >"$WORK/new" && cp "$WORK/new" "$parent.json" ;;
	head_unknown) jq '.head = "0123456789abcdef"' "$record" >"$WORK/new" && cp "$WORK/new" "$record" ;;
	session_unreadable) echo garbage >"$STATE/disks/$disk/session.json" ;;
	esac
}

# The lines for one disk: each verb that the control file lists; those that may end the disk come last.
lines_for() {
	cat <<-END
		cancel $1
		cancel $1 fold
		set $1 keep-revisions=0
		set $1 image=unchanged
		commit $1 at=release
		commit $1 note=text
		undo $1
		snapshot $1 later
		snapshot $1 live live=yes
		revert $1 point discard=yes
		clone $1 new-$1
		clone $1 full-$1 full=yes
		export $1 to=$OUT/$1.copy format=raw
		export $1 to=$OUT/$1.point point=point
		announce $uuid
		prepare $uuid domain=vm $1 target=vda
		release $uuid domain=vm reason=shutdown vda
		prepare $uuid domain=vm $1 target=vda armed=yes
		release $uuid domain=vm reason=crashed vda armed=yes
		prepare $uuid domain=vm $1 target=vda
		release $uuid domain=vm reason=saved vda
		reset $1
		reset $1 force=yes
		delete $1 point
		delete $1 nothing
		fold $1
		fold $1 wait=no
		protect $1
		unprotect $1
		unprotect $1 force=yes
		protect $1 format=qcow2
		reset $1
	END
}

every_verb_is_tried() {
	local verb
	for verb in $(sed -n 's/^\([a-z]*\) .*NAME.*/\1/p;s/^\([a-z]*\) TEMPLATE.*/\1/p' "$MNT/.revertfs/control") announce prepare release; do
		lines_for disk | grep -q "^$verb " || { echo "no line for '$verb'" >&2; return 1; }
	done
}

# Writes each line of stdin to the control file; each must have an answer, all from the same daemon.
cat >"$WORK/ask.py" <<'END'
import json, os, sys
mount = sys.argv[1]
def pid():
    return json.load(open(mount + "/.revertfs/status.json"))["pid"]
before = pid()
for line in sys.stdin:
    fd = os.open(mount + "/.revertfs/control", os.O_RDWR)
    try:
        os.write(fd, line.encode())
    except OSError:
        pass
    answer = os.pread(fd, 65536, 0)
    os.close(fd)
    assert "ok" in json.loads(answer), (line, answer)
    assert pid() == before, "another daemon after " + line
END

answers() {
	lines_for "$1" | python3 "$WORK/ask.py" "$MNT"
	stat "$MNT/$1" >/dev/null || :
	cat "$MNT/.revertfs/status" >/dev/null
}

for state in "${STATES[@]}"; do make_image "$state.qcow2" qcow2 1M 1; done
make_image well.qcow2 qcow2 1M 1
start_attacked -o "protect=*.qcow2"
for state in "${STATES[@]}"; do
	ctl "set $state.qcow2 keep-revisions=9" >/dev/null && prepare_disk "$state.qcow2" >/dev/null || fail "disk $state is set up"
done
stop_daemon
for state in "${STATES[@]}"; do damage "$state" || fail "disk $state is damaged"; done
start_attacked

promise "there is a line for each verb" every_verb_is_tried
for state in "${STATES[@]}"; do
	promise "$state: each verb has an answer, and the daemon goes on" answers "$state.qcow2"
done
promise "a disk that is well is served as ever" guest_reads well.qcow2 0 1M 1
promise "the daemon ends in order" stop_daemon
