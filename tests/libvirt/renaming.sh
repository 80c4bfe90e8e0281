#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who comes from a hook that renames images loses nothing and is misled by nothing: what that hook has left after a crash is
# found and put right by the command that is said, a domain that runs under it is left to it, and beside it nothing is begun.
# shellcheck source=tests/libvirt/lib.sh
. "$TESTS/libvirt/lib.sh"
need strace

CONFIG=/etc/libvirt/hooks/config
OLD=/etc/libvirt/hooks/qemu
make_image win1.img raw 8M 0x11
make_image win2.qcow2 qcow2 8M 0x12
make_image lab.img raw 8M 0x13
install -m 755 "$TESTS/libvirt/renaming-hook" "$OLD"
start_libvirt || fail "libvirtd starts"

json() {
	domain_json "$1" <<<"{ \"disks\": [ { \"target\": \"vda\", \"one-shot-commit\": ${2:-false} } ] }"
}

revertctl() {
	"$REVERTCTL" "$@"
}

# What there is of the images, and all that could be changed.
everything() {
	(cd "$IMAGES" && sha256sum -- *)
	find "$CONFIG" -type f -exec sh -c 'echo "$1"; cat "$1"' sh {} ';'
	virsh dumpxml --inactive win1
	virsh dumpxml --inactive win2
	status '.disks[].name'
}

# refused STATUS WORDS COMMAND...: one sentence, the exit status, and nothing has changed.
refused() {
	local want=$1 said=$2 status=0
	shift 2
	everything >"$WORK/before"
	"$@" >"$WORK/said" 2>"$WORK/refusal" </dev/null || status=$?
	same "$status" "$want" || { cat "$WORK/refusal" >&2; return 1; }
	says "$said"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
}

# doctor_says LEVEL WHAT FIX
doctor_says() {
	revertctl doctor --json >"$WORK/found" || :
	jq -e 'any(.findings[]; .level == $ARGS.positional[0] and (.what | contains($ARGS.positional[1])) and ((.fix // "") | contains($ARGS.positional[2])))' \
		"$WORK/found" --args "$@" >&2 || { jq -c '.findings[] | select(.level != "fine")' "$WORK/found" >&2; return 1; }
}

# left IMAGE FORMAT: a crash's leftover, by hand: the overlay has 0x22 in its first 64 KiB.
left() {
	[[ ! -e "$IMAGES/$1.backing_file" ]] # or qemu-img would go round and round
	mv "$IMAGES/$1" "$IMAGES/$1.backing_file"
	qemu-img create -q -f qcow2 -b "$IMAGES/$1.backing_file" -F "$2" "$IMAGES/$1"
	qemu_io -f qcow2 -c 'write -q -P 0x22 0 64k' "$IMAGES/$1"
}

# What revertctl has set aside of an image, which there has to be once; it is removed.
remove_overlay() {
	local overlays=("$IMAGES/$1".overlay-*)
	same "${#overlays[@]}" 1
	qemu-io -U -r -f qcow2 -c 'read -q -P 0x22 0 64k' "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"${overlays[0]}\"},\"backing\":null}" >&2
	rm "${overlays[0]}"
}

names_of() {
	(cd "$IMAGES" && echo "$1"*)
}

give_back() {
	revertctl disown "$1" --changes=discard >&2
}

# ---- a domain that runs under the old hook when revertfs comes

old_ways() {
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$IMAGES/win1.img")"
	define_domain win2 "$(uuid_of 2)" "$(disk vda "$IMAGES/win2.qcow2")"
	json win1 true
	json win2
	start_domain win1
	guest_io win1 vda 'write -P 0x44 1M 64k'
	shutdown_domain win1
	image_reads win1.img raw 1M 64k 0x44
	same "$(jq '.disks[0]."one-shot-commit"' "$CONFIG/win1.json")" false
	start_domain win1
	guest_io win1 vda 'write -P 0x22 0 64k'
	guest_io win1 vda 'flush'
	same "$(names_of win1)" "win1.img win1.img.backing_file"
}
promise "the renaming hook renames, and keeps what is armed" old_ways

# What it ends with: the rest is typed by readme.sh.
installs() {
	make -n -C "$(dirname "$TESTS")" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" install | tail -n 2 | grep ' doctor ' >"$WORK/last"
	bash "$WORK/last" >"$WORK/said" 2>&1
	grep -q "another hook, '$OLD', uses the domains' JSON files too" "$WORK/said"
	grep -q "'chmod -x $OLD'" "$WORK/said"
}
promise "make install says that another hook is there" installs

install_hook
start_daemon || fail "the daemon starts"

while_it_runs() {
	refused 4 "domain 'win1' is running: shut it down first, and leave the hook '$OLD' where it is until then" \
		revertctl adopt win1 --from-renaming-hook
	doctor_says warning "the disk 'vda' of domain 'win1' runs under a hook that renames images" "until the domain has ended"
	doctor_says problem "another hook, '$OLD', uses the domains' JSON files too" "once no domain runs under it, 'chmod -x $OLD'"
	# Another domain on the same overlay.
	define_domain other "$(uuid_of 3)" "$(disk vda "$IMAGES/win1.img")"
	refused 4 "" revertctl adopt other --from-renaming-hook=keep
	virsh -q undefine other >&2
}
promise "a domain that runs under the renaming hook is left to it" while_it_runs

# ---- after a crash

# shellcheck disable=SC2119
crash_host || fail "the machine crashes"
start_daemon || fail "the daemon starts after the crash"
start_libvirt || fail "libvirtd starts after the crash"

beside_the_old_hook() {
	refused 4 "another hook, '$OLD', uses the domains' JSON files too, or renames their images" revertctl adopt win1 --from-renaming-hook
	refused 4 "another hook" revertctl adopt win2 --dry-run
	typed "$WORK/refusal" 'chmod -x'
	install -m 755 "$OLD" "$HOOK_DIR/another"
	refused 4 "another hook, '$HOOK_DIR/another'" revertctl adopt win2
	rm "$HOOK_DIR/another"
	# One that does something else.
	printf '#!/bin/sh\necho "$@" >>/tmp/libvirt-events\n' >"$HOOK_DIR/notes" && chmod 755 "$HOOK_DIR/notes"
	revertctl doctor hook | grep -q "^fine *hook"
	rm "$HOOK_DIR/notes"
	refused 1 "there is no check 'hok'" revertctl doctor hok
}
promise "beside the renaming hook nothing is adopted, until it is turned off as the sentence says" beside_the_old_hook

both_ways_are_said() {
	local way="'revertctl adopt win1 --from-renaming-hook' throws away what the overlay has, 'revertctl adopt win1 --from-renaming-hook=keep' keeps it"
	doctor_says problem "the disk 'vda' of domain 'win1', '$IMAGES/win1.img', is an overlay of a hook that renames images, and the image is 'win1.img.backing_file'" "$way"
	refused 1 "'win1.img' is an overlay of a hook that renames images, and the image is 'win1.img.backing_file': $way" revertctl adopt win1
	cp "$WORK/refusal" "$WORK/ways"
	refused 1 "it is --from-renaming-hook=discard" revertctl adopt win1 --from-renaming-hook=maybe
	# Its name in the mount is refused by the daemon, at a start as well.
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$MNT/win1.img")"
	refused 1 "'mv $IMAGES/win1.img.backing_file $IMAGES/win1.img' throws away" virsh -q start win1
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$IMAGES/win1.img")"
}
promise "what a crash has left is found, and both ways are said" both_ways_are_said

dry_run() {
	everything >"$WORK/before"
	revertctl adopt win1 --from-renaming-hook --dry-run >"$WORK/said"
	grep -q "'win1.img.backing_file' is to be 'win1.img' again, without what its overlay has" "$WORK/said"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
}
promise "--dry-run says what becomes of the image" dry_run

written() {
	exec 9<>"$IMAGES/win1.img"
	refused 4 "is open for writing: shut the domain down that runs on it" revertctl adopt win1 --from-renaming-hook=keep
	exec 9>&-
	exec 9<>"$IMAGES/win1.img.backing_file"
	refused 4 "is open for writing" revertctl adopt win1 --from-renaming-hook
	exec 9>&-
}
promise "nothing is done while somebody writes the overlay or the image" written

# A libvirt that refuses the definition.
step_that_fails() {
	mkdir "$WORK/bin"
	printf '#!/bin/sh\ncase "$*" in *define*) echo "no, I will not" >&2; exit 1;; esac\nexec %s "$@"\n' "$(command -v virsh)" >"$WORK/bin/virsh"
	chmod 755 "$WORK/bin/virsh"
	refused 1 "no, I will not; everything is as it was" env PATH="$WORK/bin:$PATH" "$REVERTCTL" adopt win1 --from-renaming-hook
	rm "$WORK/bin/virsh"
	# A commit that does not begin.
	printf '#!/bin/sh\necho "no, I will not either" >&2\nexit 1\n' >"$WORK/bin/qemu-img" && chmod 755 "$WORK/bin/qemu-img"
	refused 1 "what the overlay of 'win1.img' has cannot be kept" env PATH="$WORK/bin:$PATH" "$REVERTCTL" adopt win1 --from-renaming-hook=keep
	says "everything is as it was"
	rm "$WORK/bin/qemu-img"
}
promise "when a step fails, the names are as they were" step_that_fails

discards() {
	typed "$WORK/ways" 'revertctl adopt' 2>"$WORK/said"
	cat "$WORK/said" >&2
	grep -q "overlay on 'win1.img' had is thrown away" "$WORK/said"
	same "$(status_of win1.img .format)" raw
	starts_with win1 vda 0 64k 0x11
	starts_with win1 vda 1M 64k 0x44
	remove_overlay win1.img
	same "$(names_of win1)" win1.img
	give_back win1
}
promise "a leftover is thrown away by the command that is said, and the domain has its image" discards

keeps() {
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$IMAGES/win1.img")"
	left win1.img raw
	revertctl adopt win1 --from-renaming-hook=keep >"$WORK/said"
	grep -q "had is kept in the image" "$WORK/said"
	starts_with win1 vda 0 64k 0x22
	starts_with win1 vda 1M 64k 0x44
	remove_overlay win1.img
	image_reads win1.img raw 0 64k 0x22
	give_back win1
	left win2.qcow2 qcow2
	# Leaks are not looked for in a traced program.
	ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace -f -qq -e trace=fsync,renameat2,execve -o "$WORK/calls" \
		"$REVERTCTL" adopt win2 --from-renaming-hook=keep >&2
	# A power cut must not leave an image that has a part of it under the names that were before.
	sed -n '/being_kept", RENAME/,/execve.*qemu-img.*"commit"/p' "$WORK/calls" | grep -q 'fsync(.*= 0'
	starts_with win2 vda 0 64k 0x22
	starts_with win2 vda 64k 1M 0x12
	remove_overlay win2.qcow2
	give_back win2
}
promise "a leftover is kept, in raw and qcow2 images" keeps

# fails_half: revertctl is killed while qemu-img commits, and has written a part by then.
fails_half() {
	local pid
	printf '#!/bin/sh\nexec sleep 600\n' >"$WORK/bin/qemu-img"
	chmod 755 "$WORK/bin/qemu-img"
	PATH=$WORK/bin:$PATH "$REVERTCTL" adopt win2 --from-renaming-hook=keep >&2 &
	pid=$!
	wait_until 20 pgrep -P "$pid" -x sleep
	kill -KILL "$pid"
	wait "$pid" || :
	rm "$WORK/bin/qemu-img"
	qemu_io -f qcow2 -c 'write -q -P 0x22 0 4k' "$IMAGES/win2.qcow2.backing_file"
}

killed_while_it_keeps() {
	define_domain win2 "$(uuid_of 2)" "$(disk vda "$IMAGES/win2.qcow2")"
	qemu_io -f qcow2 -c 'write -q -P 0x12 0 64k' "$IMAGES/win2.qcow2"
	left win2.qcow2 qcow2
	fails_half
	same "$(names_of win2)" "win2.qcow2.backing_file win2.qcow2.being_kept"
	refused 1 "is of no use without the rest: 'revertctl adopt win2 --from-renaming-hook=keep' goes on with that" revertctl adopt win2 --from-renaming-hook
	refused 1 "is of no use without the rest" revertctl adopt win2
	doctor_says problem "a renaming hook's overlay is half committed into its image" "'revertctl adopt win2 --from-renaming-hook=keep'"
	ctl 'protect win2.qcow2' >"$WORK/said" && return 1
	grep -q "adopt' its domain with --from-renaming-hook=keep" "$WORK/said"
	revertctl adopt win2 --from-renaming-hook=keep >&2
	starts_with win2 vda 0 64k 0x22
	starts_with win2 vda 64k 1M 0x12
	remove_overlay win2.qcow2
	give_back win2
}
promise "a kill while it is kept is gone on with by the same command, and by no other" killed_while_it_keeps

# What a kill after each rename leaves, by the names alone.
killed_between_renames() {
	define_domain win2 "$(uuid_of 2)" "$(disk vda "$IMAGES/win2.qcow2")"
	qemu_io -f qcow2 -c 'write -q -P 0x12 0 64k' "$IMAGES/win2.qcow2"
	left win2.qcow2 qcow2
	mv "$IMAGES/win2.qcow2" "$IMAGES/win2.qcow2.overlay-20260101T000000Z"
	refused 1 "there is nothing to keep" revertctl adopt win2 --from-renaming-hook=keep
	refused 1 "'revertctl adopt win2 --from-renaming-hook' has it back" revertctl adopt win2
	typed "$WORK/refusal" 'revertctl adopt'
	starts_with win2 vda 0 8M 0x12
	remove_overlay win2.qcow2
	give_back win2
	define_domain win2 "$(uuid_of 2)" "$(disk vda "$IMAGES/win2.qcow2")"
	left win2.qcow2 qcow2
	mv "$IMAGES/win2.qcow2" "$IMAGES/win2.qcow2.being_kept"
	qemu-img commit -q -f qcow2 -d "$IMAGES/win2.qcow2.being_kept"
	mv "$IMAGES/win2.qcow2.backing_file" "$IMAGES/win2.qcow2"
	revertctl adopt win2 --from-renaming-hook=keep >&2
	starts_with win2 vda 0 64k 0x22
	remove_overlay win2.qcow2
	give_back win2
}
promise "a kill between two renames is gone on with, too" killed_between_renames

hostile_headers() {
	define_domain win2 "$(uuid_of 2)" "$(disk vda "$IMAGES/win2.qcow2")"
	left win2.qcow2 qcow2
	qemu-img rebase -u -f qcow2 -F raw -b /etc/shadow "$IMAGES/win2.qcow2"
	refused 1 "image 'win2.qcow2' has a backing file" revertctl adopt win2 --from-renaming-hook=keep
	qemu-img create -q -f qcow2 -o data_file="$WORK/data" "$IMAGES/win2.qcow2" 8M
	qemu-img rebase -u -f qcow2 -F qcow2 -b win2.qcow2.backing_file "$IMAGES/win2.qcow2"
	echo kept >"$WORK/data"
	refused 1 "everything is as it was" revertctl adopt win2 --from-renaming-hook=keep
	same "$(cat "$WORK/data")" kept
	mv "$IMAGES/win2.qcow2.backing_file" "$IMAGES/win2.qcow2"
}
promise "a header that leads elsewhere is not followed" hostile_headers

# A clean host, where the image is raw and the definition says qcow2, since an overlay is.
nothing_left() {
	json win1 true
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$IMAGES/win1.img")"
	revertctl adopt win1 --from-renaming-hook --dry-run >"$WORK/said"
	grep -q "'one-shot-commit' of vda is true in its file: what the first session writes is kept" "$WORK/said"
	revertctl adopt win1 --from-renaming-hook >"$WORK/said"
	grep -q "^win1: adopted" "$WORK/said"
	grep -q "what the first session writes is kept" "$WORK/said"
	typed "$WORK/said" 'revertctl discard-next'
	same "$(jq '.disks[0]."one-shot-commit"' "$CONFIG/win1.json")" false
}
promise "a flag that is true already is said, and turned off as the sentence says" nothing_left

# beside_it DOMAIN FILE: the old hook comes back. It may rename no disk, so the domain does not start, and the file is as it was.
beside_it() {
	sha256sum "$2" >"$WORK/sum"
	chmod +x "$OLD"
	refuses start_domain "$1"
	doctor_says problem "another hook, '$OLD', uses the domains' JSON files too" "chmod -x $OLD"
	chmod -x "$OLD"
	sha256sum -c "$WORK/sum" >&2
	start_domain "$1"
	destroy_domain "$1"
}

comes_back() {
	beside_it win1 "$IMAGES/win1.img"
	# With a leftover beside the disk that hook renames nothing, and writes an overlay over what is served.
	cp "$IMAGES/win2.qcow2" "$IMAGES/win1.img.backing_file"
	sha256sum "$IMAGES/win1.img" >"$WORK/sum"
	chmod +x "$OLD"
	start_domain win1 || :
	virsh destroy win1 >&2 || :
	doctor_says problem "another hook, '$OLD', uses the domains' JSON files too" "chmod -x $OLD"
	chmod -x "$OLD"
	rm -f "$IMAGES/win1.img.backing_file"
	sha256sum -c "$WORK/sum" >&2
	starts_with win1 vda 0 64k 0x22
}
promise "where the renaming hook comes back, doctor says it, and no image is harmed" comes_back

# ---- the mount over the images directory

# The images, seen past the mount.
mkdir "$WORK/beneath" && mount --bind "$IMAGES" "$WORK/beneath"

over_the_images() {
	define_domain lab "$(uuid_of 4)" "$(disk vda "$IMAGES/lab.img")"
	json lab
	left lab.img raw
	stop_libvirt
	stop_daemon
	# shellcheck disable=SC2034 # for lib.sh
	MNT=$IMAGES STATE=$WORK/over-state
	start_daemon
	start_libvirt
	doctor_says problem "domain 'lab' would not start" "keeps it"
	doctor_says problem "the disk 'vda' of domain 'lab'" "'revertctl adopt lab --from-renaming-hook'"
	exec 9<>"$WORK/beneath/lab.img"
	refuses revertctl adopt lab --from-renaming-hook=keep
	exec 9>&-
	revertctl adopt lab --from-renaming-hook=keep >&2
	starts_with lab vda 0 64k 0x22
	starts_with lab vda 64k 1M 0x13
	remove_overlay lab.img
	same "$(cd "$WORK/beneath" && echo lab*)" lab.img
	beside_it lab "$WORK/beneath/lab.img"
	starts_with lab vda 0 64k 0x22
}
promise "with the mount over the images all of that works, too" over_the_images
