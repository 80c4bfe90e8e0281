#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whoever writes a disk full, or has a small file read as a large one, fills no filesystem by it: folds, exports and clones leave a
# reserve free. What was committed waits in its layer until there is room.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
need mkfs.ext4 losetup
losetup -f >/dev/null 2>&1 || { skip "reserve: no loop devices"; exit 0; }

small_filesystem "$IMAGES" 128M && small_filesystem "$OUT" 64M || { skip "reserve: no loop mounts"; exit 0; }
chmod 1777 "$OUT"
make_image vm.img raw 100M
make_image q.qcow2 qcow2 100M
# A megabyte of compressed clusters that reads as 120.
mkdir -p "$IMAGES/u"
qemu-img create -q -f raw "$WORK/large" 120M && qemu_io -f raw -c "write -q -P 7 0 120M" "$WORK/large"
qemu-img convert -c -f raw -O qcow2 "$WORK/large" "$IMAGES/u/small.qcow2"
rm "$WORK/large"
chown -R "$USER_A:$USER_A" "$IMAGES/u"
start_attacked || fail "the daemon starts"
for name in vm.img q.qcow2 u/small.qcow2; do
	ctl "protect $name" >/dev/null || fail "'$name' can be protected"
done

free_mib() {
	echo $(($(stat -f -c '%a*%S' "$1") >> 20))
}

# leave MIB DIR: so much stays free there.
leave() {
	rm -f "$2/filler"
	fallocate -l $(($(free_mib "$2") - $1))M "$2/filler"
}

one_layer() {
	job_is_done "$1" && same "$(status_of "$1" '.layers | length')" 1
}

# fold_waits NAME FORMAT: for the reserve, by default a twentieth of 128 MiB.
fold_waits() {
	leave 12 "$IMAGES"
	guest_write "$1" 0 10M 5
	ctl "commit $1"
	ctl_fails ENOSPC "fold $1" "are to stay free (reserve=)"
	[[ $(status_of "$1" .last_error) == *"its content is safe, and the fold is tried again"* ]]
	same "$(status_of "$1" .folding)" false
	(($(free_mib "$IMAGES") >= 11))
	guest_reads "$1" 0 10M 5
	rm "$IMAGES/filler"
	wait_until 30 one_layer "$1" # by itself
	image_reads "$1" "$2" 0 10M 5
	same "$(status_of "$1" .last_error)" null
}
promise "a fold into a raw image waits for room, and goes on by itself" fold_waits vm.img raw
promise "so does one into a qcow2" fold_waits q.qcow2 qcow2

# The data is there already, so that the same again takes no room.
written_full() {
	qemu_io -f raw -c "write -q -P 1 0 30M" "$IMAGES/full.img"
	leave 8 "$IMAGES"
	ctl 'protect full.img format=raw'
	guest_write full.img 0 10M 6
	ctl 'commit full.img'
	ctl 'fold full.img'
	image_reads full.img raw 0 10M 6
	rm "$IMAGES/filler"
	ctl 'unprotect full.img'
	rm "$IMAGES/full.img"
}
qemu-img create -q -f raw "$IMAGES/full.img" 30M
promise "a fold into an image that has its place already takes no room" written_full

export_refused() {
	member_ctl_fails ENOSPC "export u/small.qcow2 to=$OUT/x format=raw" "are to stay free (reserve=)"
	member_ctl_fails ENOSPC "export u/small.qcow2 to=$OUT/x format=qcow2" "are to stay free (reserve=)"
	same "$(find "$OUT" -type f)" ""
	same "$(ls "$STATE/makings")" ""
	member_ctl "export u/small.qcow2 to=$OUT/x format=qcow2 compress=yes" >"$WORK/answer" || grep -q ENOSPC "$WORK/answer"
	rm -f "$OUT/x" "$OUT/x.json"
	leave 12 "$OUT"
	ctl_fails ENOSPC "export vm.img to=$OUT/y format=raw" "are to stay free (reserve=)"
	rm "$OUT/filler"
	ctl "export vm.img to=$OUT/y format=raw"
	rm -f "$OUT/y" "$OUT/y.json"
}
promise "an export that would fill the filesystem is refused before its first byte" export_refused

clone_refused() {
	ctl_fails ENOSPC 'clone u/small.qcow2 copy.qcow2 full=yes' "are to stay free (reserve=)"
	[[ ! -e $IMAGES/copy.qcow2 ]]
	leave 12 "$IMAGES"
	ctl_fails ENOSPC 'clone vm.img copy.img full=yes' "are to stay free (reserve=)"
	[[ ! -e $IMAGES/copy.img ]]
	rm "$IMAGES/filler"
}
promise "so is a full clone" clone_refused

turned_off() {
	stop_daemon
	start_attacked -o reserve=0
	leave 12 "$IMAGES"
	guest_write vm.img 20M 10M 8
	ctl 'commit vm.img'
	ctl 'fold vm.img'
	image_reads vm.img raw 20M 10M 8
	rm "$IMAGES/filler"
	stop_daemon
	start_attacked -o reserve=100M
	guest_write vm.img 40M 1M 9
	ctl 'commit vm.img'
	ctl_fails ENOSPC 'fold vm.img' "100 MiB are to stay free"
	stop_daemon
}
promise "reserve=0 turns it off, another size is another reserve" turned_off
