#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# One writer for a disk, one domain, and nobody behind the daemon's back: whoever comes second is refused in a sentence that says who
# came first or what to do, and what waits goes on by itself.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

one=11111111-1111-1111-1111-111111111111
two=22222222-2222-2222-2222-222222222222
make_image d.img raw 4M 1
make_image e.img raw 4M 1
start_daemon || fail "the daemon starts"

# hold_open FILE MODE: a process that has the file open, as `<` or `<>`, until let_go.
hold_open() {
	local redirection=$2
	rm -f "$WORK/is-open"
	if [[ $redirection == '<' ]]; then
		# shellcheck disable=SC2217 # it is to have it, not to read it
		sleep 1000 <"$1" &
	else
		sleep 1000 0<>"$1" &
	fi
	echo $! >"$WORK/holder"
	wait_until 20 holder_has "$1"
}

holder_has() {
	[[ $(readlink "/proc/$(cat "$WORK/holder")/fd/0") == "$1" && $(cat "/proc/$(cat "$WORK/holder")/comm") == sleep ]]
}

let_go() {
	kill "$(cat "$WORK/holder")"
	wait "$(cat "$WORK/holder")" 2>/dev/null || :
}

# ---- protect

protect_open_through_the_mount() {
	hold_open "$MNT/d.img" '<>'
	ctl_fails EBUSY 'protect d.img' "is open for writing; close it first"
	let_go
	cmp "$MNT/d.img" "$IMAGES/d.img"
	same "$(status '.disks | length')" 0
	hold_open "$MNT/e.img" '<'
	ctl 'protect e.img' # a reader of the image does no harm
	let_go
	ctl 'unprotect e.img'
}
promise "an image that is open for writing through the mount cannot be protected" protect_open_through_the_mount

protect_open_directly() {
	hold_open "$IMAGES/d.img" '<>'
	ctl_fails EBUSY 'protect d.img' "is open for writing; close it first"
	let_go
	wait_until 20 ctl 'protect d.img'
}
promise "... nor one that another process writes directly" protect_open_directly

# ---- while a guest writes

refused_while_open() {
	ctl "protect e.img" >/dev/null || :
	guest_write d.img 0 64k 2
	hold_open "$MNT/d.img" '<>'
	local command
	for command in 'reset d.img' 'commit d.img' 'undo d.img' 'unprotect d.img' 'set d.img size=8M' \
		"prepare $one domain=a d.img target=vda"; do
		ctl_fails EBUSY "$command" "is open for writing; stop the domain or program that uses it first"
	done
	ctl_fails EBUSY 'reset d.img force=yes' "is open for writing"
	let_go
	guest_reads d.img 0 64k 2
	ctl 'reset d.img'
	guest_reads d.img 0 64k 1
}
promise "reset, commit, undo, unprotect, growing and prepare are refused while a disk is open for writing, force=yes or not" \
	refused_while_open

readers_do_not_matter() {
	guest_write d.img 0 64k 2
	hold_open "$MNT/d.img" '<'
	ctl 'reset d.img'
	guest_write d.img 0 64k 3
	ctl 'commit d.img'
	let_go
	hold_open "$MNT/e.img" '<'
	ctl_fails EBUSY 'unprotect e.img' "is open; close it first"
	let_go
	ctl 'fold d.img'
	image_reads d.img raw 0 64k 3
	guest_write d.img 0 64k 1
	ctl 'commit d.img'
	ctl 'fold d.img'
}
promise "a reader keeps nobody from a reset or a commit" readers_do_not_matter

released_late() {
	for _ in $(seq 20); do
		qemu_io -f qcow2 -c "write -q -P 5 0 64k" "$MNT/d.img"
		ctl 'reset d.img'
	done
	# A last close may come after the command: it is waited for.
	hold_open "$MNT/d.img" '<>'
	(sleep 0.2; let_go) &
	ctl 'reset d.img'
	wait
}
promise "a writer that closes within two seconds is waited for" released_late

# ---- two domains

second_domain() {
	ctl "prepare $one domain=first d.img target=vda"
	ctl_fails EBUSY "prepare $two domain=second d.img target=vda" "is in use by domain 'first'"
	ctl_fails EBUSY "prepare $two domain=second e.img target=vda d.img target=vdb" "is in use by domain 'first'"
	same "$(status_of e.img .session)" null
	ctl_fails EBUSY 'reset d.img' "is in a session of domain 'first'"
	ctl_fails EBUSY 'commit d.img' "is in a session of domain 'first'"
	ctl_fails EBUSY 'unprotect d.img' "is in a session of domain 'first'"
	guest_write d.img 0 64k 2
	guest_reads d.img 0 64k 2
	# Another's release ends nothing.
	same "$(ctl "release $two reason=shutdown vda" | jq '.disks | length')" 0
	same "$(status_of d.img .session.domain)" first
	ctl "release $one reason=shutdown vda"
	guest_reads d.img 0 64k 1
	ctl "prepare $two domain=second d.img target=vda"
	ctl "release $two reason=shutdown vda"
}
promise "a second domain on the same disk is refused by name, and then all of its disks are" second_domain

held_for_another() {
	ctl "prepare $one domain=first d.img target=vda"
	guest_write d.img 0 64k 2
	ctl "release $one domain=first reason=saved"
	ctl_fails EBUSY "prepare $two domain=second d.img target=vda" "is held for the saved domain 'first'"
	local command
	for command in 'reset d.img' 'commit d.img' 'undo d.img' 'unprotect d.img' 'set d.img size=8M'; do
		ctl_fails EBUSY "$command" "is held for the saved domain 'first'"
	done
	ctl 'reset d.img force=yes'
	guest_reads d.img 0 64k 1
	ctl "prepare $two domain=second d.img target=vda"
	ctl "release $two reason=shutdown vda"
}
promise "a disk that is held for a saved domain is nobody else's, until reset force=yes" held_for_another

# ---- a fold, while somebody outside has the image

fold_waits_for_another() {
	guest_write d.img 0 64k 6
	hold_open "$IMAGES/d.img" '<>'
	ctl 'commit d.img'
	ctl_fails EBUSY 'fold d.img' "another process has the image open for writing"
	image_reads d.img raw 0 64k 1
	guest_reads d.img 0 64k 6
	[[ $(status_of d.img .last_error) == *"another process has the image open for writing"* ]]
	[[ $(status_of d.img .job.kind) == fold ]]
	let_go
	wait_until 30 job_is_done d.img
	image_reads d.img raw 0 64k 6
	same "$(status_of d.img .last_error)" null
}
promise "a fold into an image that another process has open says so, waits, and goes on by itself" fold_waits_for_another

# ---- the image is changed behind the daemon's back

# change: other bytes in the same file; replace: another file under the name; grow: another size.
change() {
	qemu_io -f raw -c "write -q -P $1 3M 64k" "$IMAGES/d.img"
}

replace() {
	cp "$IMAGES/d.img" "$IMAGES/d.new"
	qemu_io -f raw -c "write -q -P $1 3M 64k" "$IMAGES/d.new"
	mv "$IMAGES/d.new" "$IMAGES/d.img"
}

pristine_takes_it() {
	local how pattern=10
	for how in change replace; do
		pattern=$((pattern + 1))
		$how $pattern
		ctl 'reset d.img'
		guest_reads d.img 3M 64k $pattern
		pattern=$((pattern + 1))
		$how $pattern
		ctl "prepare $one domain=a d.img target=vda"
		guest_reads d.img 3M 64k $pattern
		ctl "release $one reason=shutdown vda"
		grep -q "its image was changed outside revertfs; nothing depended on it" "$DAEMON_LOG"
	done
	truncate -s 5M "$IMAGES/d.img"
	ctl 'reset d.img'
	same "$(qemu-img info --output=json "$MNT/d.img" | jq '."virtual-size"')" $((5 * 1024 * 1024))
	guest_write d.img 4M 1M 9
	guest_reads d.img 4M 1M 9
	ctl 'reset d.img'
	truncate -s 4M "$IMAGES/d.img"
	ctl 'reset d.img'
	same "$(status_of d.img .virtual_size)" $((4 * 1024 * 1024))
}
promise "an image that was changed while nothing depended on it is taken as it is now" pristine_takes_it

dirty_is_refused() {
	guest_write d.img 0 64k 20
	change 21
	ctl_fails EBUSY 'commit d.img' "its image was changed outside revertfs, and changes in the scratch stand on what it was"
	ctl_fails EBUSY "prepare $one domain=a d.img target=vda" "changes in the scratch stand on what it was"
	guest_reads d.img 0 64k 20
	ctl 'reset d.img'
	guest_reads d.img 3M 64k 21
	guest_reads d.img 0 64k 6
}
promise "with changes in the scratch that are to be kept, commit and prepare are refused; a reset takes the new content" dirty_is_refused

# A leftover that is to be discarded depends on nothing.
discarded_takes_it() {
	ctl "prepare $one domain=a d.img target=vda"
	guest_write d.img 0 64k 22
	kill_daemon
	change 23
	start_daemon
	ctl "prepare $one domain=a d.img target=vda"
	guest_reads d.img 3M 64k 23
	guest_reads d.img 0 64k 6
	ctl "release $one reason=shutdown vda"
}
promise "a leftover that is discarded does not keep the new content out" discarded_takes_it

layers_are_refused() {
	ctl 'set d.img keep-revisions=5'
	guest_write d.img 0 64k 24
	ctl 'commit d.img'
	cp -p "$IMAGES/d.img" "$WORK/old"
	change 25
	ctl_fails EBUSY 'reset d.img' "its image was changed outside revertfs, and layers of the disk 'd.img' stand on what it was"
	ctl_fails EBUSY "prepare $one domain=a d.img target=vda" "layers of the disk 'd.img' stand on what it was"
	ctl_fails EBUSY 'undo d.img' "layers of the disk 'd.img' stand on what it was"
	ctl 'set d.img keep-revisions=0'
	ctl_fails EBUSY 'fold d.img' "its image was changed outside revertfs"
	same "$(status_of d.img '.layers | map(.state) | unique | tostring')" '["sealed"]'
	restart_daemon
	ctl_fails EBUSY 'fold d.img' "its image was changed outside revertfs"
	cp -p "$WORK/old" "$IMAGES/d.img" # the same inode, its old bytes and time
	ctl 'fold d.img'
	image_reads d.img raw 0 64k 24
	image_reads d.img raw 3M 64k 23
}
promise "with layers on it a changed image is refused everywhere, and accepted when the old one is put back" layers_are_refused

ways_out() {
	ctl 'set d.img keep-revisions=5'
	guest_write d.img 64k 64k 31
	ctl 'commit d.img'
	touch "$IMAGES/d.img" # somebody looked at it, and says so
	ctl_fails EBUSY 'reset d.img' "layers of the disk 'd.img' stand on what it was"
	ctl 'set d.img image=unchanged'
	ctl 'reset d.img'
	guest_reads d.img 64k 64k 31
	change 32
	ctl_fails EBUSY 'reset d.img' "layers of the disk 'd.img' stand on what it was"
	ctl_fails EBUSY 'unprotect d.img'
	ctl 'unprotect d.img force=yes'
	cmp "$MNT/d.img" "$IMAGES/d.img"
	same "$(find "$STATE/layers" -name '*.qcow2' | wc -l)" 0
	ctl 'protect d.img'
	guest_reads d.img 3M 64k 32
	guest_reads d.img 64k 64k 1
	change 23
	ctl 'reset d.img'
}
promise "image=unchanged keeps the layers, unprotect force=yes gives them up" ways_out

holds_are_refused() {
	ctl "prepare $one domain=a d.img target=vda"
	guest_write d.img 0 64k 26
	ctl "release $one domain=a reason=saved saved=yes"
	cp -p "$IMAGES/d.img" "$WORK/old"
	change 27
	ctl_fails EBUSY "prepare $one domain=a saved=yes d.img target=vda" "what the saved domain 'a' needs of the disk 'd.img' stands on what it was"
	cp -p "$WORK/old" "$IMAGES/d.img"
	ctl "prepare $one domain=a saved=yes d.img target=vda"
	guest_reads d.img 0 64k 26
	ctl "release $one domain=a reason=shutdown vda"
}
promise "a saved domain is not restored over a changed image" holds_are_refused

sealing_looks() {
	local point
	ctl "prepare $one domain=a d.img target=vda armed=yes"
	guest_write d.img 0 64k 28
	cp -p "$IMAGES/d.img" "$WORK/old"
	change 29
	ctl_fails EBUSY "release $one domain=a reason=shutdown vda armed=yes" "its image was changed outside revertfs"
	guest_reads d.img 0 64k 28
	[[ $(status_of d.img .last_error) == *"was changed outside revertfs"* ]]
	cp -p "$WORK/old" "$IMAGES/d.img"
	ctl "prepare $one domain=a d.img target=vda" >"$WORK/answer"
	point=$(jq -r '.disks[0].point' "$WORK/answer")
	[[ $point == uncommitted-* ]]
	guest_reads d.img 0 64k 24
	ctl "delete d.img $point"
	ctl "release $one domain=a reason=shutdown vda"
}
promise "a release that commits looks at the image too, and what it cannot commit is put aside" sealing_looks

gone_images() {
	mv "$IMAGES/e.img" "$IMAGES/was-e"
	ctl_fails ENOENT 'reset e.img' "its image cannot be reached"
	ctl_fails ENOENT "prepare $one domain=a e.img target=vda" "its image cannot be reached"
	restart_daemon
	same "$(status_of e.img .state)" failed
	mv "$IMAGES/was-e" "$IMAGES/e.img"
	ctl 'reset e.img'
	guest_reads e.img 0 4M 1
}
promise "an image that is gone is missed, and welcome when it is back" gone_images

gone_for_good() {
	make_image g.img raw 4M 1
	ctl 'protect g.img'
	ctl 'set g.img keep-revisions=5'
	guest_write g.img 0 64k 2
	ctl 'commit g.img'
	rm "$IMAGES/g.img"
	find "$STATE/lost" -name '*.qcow2' | sort >"$WORK/before"
	ctl_fails EBUSY 'unprotect g.img' "'unprotect g.img force=yes' keeps them in lost/"
	ctl 'unprotect g.img force=yes'
	same "$(find "$STATE/lost" -name '*.qcow2' | sort | comm -13 "$WORK/before" - | wc -l)" 1
	same "$(status '[.disks[] | select(.name == "g.img")] | length')" 0
}
promise "what stood on an image that is gone for good can be given up as unprotect offers it, and is kept" gone_for_good

another_place() {
	guest_write d.img 1M 64k 30
	stop_daemon
	mkdir "$WORK/other"
	MNT=$WORK/other start_daemon
	MNT=$WORK/other guest_reads d.img 1M 64k 30
	MNT=$WORK/other guest_reads d.img 0 64k 24
	MNT=$WORK/other ctl 'commit d.img'
	kill -TERM "$(daemon_pid)"
	wait_until 20 daemon_is_gone
	start_daemon
	guest_reads d.img 1M 64k 30
	ctl 'fold d.img'
	image_reads d.img raw 1M 64k 30
}
promise "a state directory whose mount has moved is served at the new place" another_place
stop_daemon || fail "the daemon ends"
