#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The systemd unit is one that systemd accepts, and what it takes away from the daemon is nothing that the daemon needs.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io setpriv
unit=$BUILD/systemd/revertfs.service
[[ -s $unit ]] || fail "the unit has been made: $unit"
posix=$BUILD/tools/posix

# setting NAME: all its values, one a line.
setting() {
	sed -n "s/^$1=//p" "$unit"
}

accepted() {
	# The program and the manual are where they will be installed: for the check, where they are now.
	sed -e "s|^ExecStart=[^ ]*|ExecStart=$REVERTFS|" -e "s|^Documentation=.*|Documentation=file:$TESTS/run|" \
		"$unit" >"$WORK/revertfs.service"
	systemd-analyze verify "$WORK/revertfs.service" >"$WORK/verified" 2>&1
	! grep -F revertfs.service "$WORK/verified" >&2 || return 1
}
if command -v systemd-analyze >/dev/null; then
	promise "systemd accepts the unit without a word" accepted
else
	skip "systemd accepts the unit without a word: systemd-analyze is missing"
fi

# syscalls SET...: what SystemCallFilter= makes of it; sets are named in sets.
syscalls() {
	local word
	for word; do
		if [[ $word == @* ]]; then
			# shellcheck disable=SC2046 # words
			syscalls $(systemd-analyze syscall-filter "$word" | grep -vE '^ *#|^@' | grep -v "^ *$word$")
		else
			echo "$word"
		fi
	done
}

# qemu-img does not run where one of these is missing.
the_box_is_allowed() {
	local source=$TESTS/../fs/base
	# shellcheck disable=SC2046 # words
	syscalls $(setting SystemCallFilter) | sort -u >"$WORK/allowed"
	(($(wc -l <"$WORK/allowed") > 200))
	{
		cat "$source"/box.c "$source"/box_filter.c "$source"/program.c | grep -oE 'syscall\(SYS_[a-z0-9_]+' | sed 's/.*SYS_//'
		printf '%s\n' prctl setrlimit getrlimit execve dup2 fork fcntl open getpid setpgid waitid kill
	} | sort -u >"$WORK/made"
	grep -q landlock_restrict_self "$WORK/made"
	same "$(comm -23 "$WORK/made" "$WORK/allowed" | tr '\n' ' ')" ""
}
if command -v systemd-analyze >/dev/null; then
	promise "its filter of system calls allows those that qemu-img's box is made with" the_box_is_allowed
else
	skip "its filter of system calls allows those that qemu-img's box is made with: systemd-analyze is missing"
fi

order() {
	local name
	for name in libvirtd.service virtqemud.service; do
		setting Before | grep -qw "$name"
	done
	same "$(setting Type)" notify
	same "$(setting Restart)" on-failure
	! grep -q @ <(grep -vE '^#|modprobe@|=@|@mount' "$unit") || return 1
}
promise "it starts before libvirt, says when it is ready, and comes back after a failure" order

# Each of these gives the service a mount namespace, and the host would not see the mount.
the_host_sees_the_mount() {
	! grep -E '^(Protect(System|Home|Proc|Kernel[A-Za-z]*|ControlGroups)|Private[A-Za-z]*|ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|ExecPaths|TemporaryFileSystem|Bind[A-Za-z]*|MountFlags|RootDirectory|DynamicUser|ProcSubset)=' "$unit" >&2 || return 1
}
promise "nothing in it hides the mount from the host" the_host_sees_the_mount

with_the_units_capabilities() {
	local bounding=-all name
	for name in $(setting CapabilityBoundingSet); do
		name=${name#CAP_}
		# One that this machine does not grant cannot be kept.
		setpriv --bounding-set "-all,+${name,,}" true 2>/dev/null && bounding+=,+${name,,}
	done
	echo "$bounding" >&2
	make_image d.img raw 8M 1
	cat >"$WORK/restricted" <<-EOF
		#!/bin/bash
		exec setpriv --no-new-privs --bounding-set "$bounding" "$REVERTFS" "\$@"
	EOF
	chmod +x "$WORK/restricted"
	PROGRAM=$WORK/restricted start_daemon
	mkdir "$WORK/plain"
	local section
	for section in create setgid attributes xattrs special links; do
		mkdir "$WORK/plain/$section" "$MNT/$section"
		(cd "$WORK/plain/$section" && "$posix" "$section") >"$WORK/$section.plain" 2>&1
		(cd "$MNT/$section" && "$posix" "$section") >"$WORK/$section.mount" 2>&1
		diff "$WORK/$section.plain" "$WORK/$section.mount" >&2
	done
	setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= "$MNT/create/m777"
	mkdir "$MNT/theirs" && chown 1000:1000 "$MNT/theirs" && chmod 700 "$MNT/theirs"
	setpriv --reuid 1000 --regid 1000 --clear-groups bash -c "echo x >'$MNT/theirs/f'; cat '$MNT/theirs/f'" >/dev/null
	same "$(stat -c %u:%g "$IMAGES/theirs/f")" 1000:1000
	ctl 'protect d.img'
	guest_write d.img 0 1M 2
	ctl 'commit d.img'
	wait_until 20 job_is_done d.img
	image_reads d.img raw 0 1M 2
	stop_daemon
}
promise "with the unit's capabilities files, disks, commit and fold work" with_the_units_capabilities
