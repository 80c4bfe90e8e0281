#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A guest that is a Linux, with ext4 on its disks that it writes all the time, and QEMU's guest agent. It is put together from
# what .ci/deps has unpacked; guest-init is its process 1 and says what it writes. KVM is not needed: it is up in a few seconds.
. "$TESTS/libvirt/lib.sh"

LINUX=/var/cache/revertfs-tests/guest
CONSOLE=$WORK/console.log
[[ -e $LINUX/vmlinuz ]] || { skip "${0##*/}: $LINUX is missing"; exit 0; }
need mkfs.ext4 e2fsck debugfs

# The kernel and its initramfs, in $LV. libvirt gives both to QEMU's user.
build_linux() {
	local root=$LV/linux library
	mkdir -p "$root"/{bin,dev,proc,sys,run,modules,usr/var/run,var/run}
	cp "$LINUX/vmlinuz" "$LV/vmlinuz"
	cp "$LINUX"/{busybox,qemu-ga} "$root/bin"
	cp "$LINUX"/*.ko "$root/modules"
	install -m 755 "$TESTS/libvirt/guest-init" "$root/init"
	ln -s busybox "$root/bin/sh"
	# The agent's libraries are those of this machine's QEMU.
	while read -r library; do
		mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library" || return
	done < <(ldd "$LINUX/qemu-ga" | grep -o '/[^ ]*')
	(cd "$root" && find . | "$LINUX/busybox" cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$LV/initrd"
}
build_linux || fail "the Linux guest is put together"

# ext4_image NAME SIZE: a raw image that is an ext4.
ext4_image() {
	truncate -s "$2" "$IMAGES/$1" && mkfs.ext4 -q -F "$IMAGES/$1"
}

# define_linux NAME UUID agent|no-agent DISK...: no-agent has the agent's channel, but nobody who listens.
define_linux() {
	local agent=no
	[[ $3 != agent ]] || agent=yes
	# shellcheck disable=SC2034 # define_domain reads both
	local DOMAIN_MEMORY=192 DOMAIN_BOOT="<os><type arch='x86_64' machine='pc'>hvm</type>
		<kernel>$LV/vmlinuz</kernel><initrd>$LV/initrd</initrd>
		<cmdline>console=ttyS0 quiet panic=1 mitigations=off agent=$agent</cmdline></os>"
	define_domain "$1" "$2" "${@:4}" \
		"<serial type='file'><source path='$CONSOLE'/></serial>" \
		"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
}

console_says() {
	grep -q -- "$1" "$CONSOLE"
}

# The last round that the guest has on the medium of all its disks.
last_synced() {
	grep -o 'synced [0-9]*' "$CONSOLE" | tail -n 1 | grep -o '[0-9]*'
}

guest_has_synced() {
	(($(last_synced) >= $1))
}

# The guest goes on: two rounds more come to their end.
guest_goes_on() {
	wait_until 60 guest_has_synced $(($(last_synced) + 2))
}

start_linux() {
	: >"$CONSOLE"
	start_domain "$1"
	wait_until 120 guest_has_synced 3
}

agent_answers() {
	virsh -q qemu-agent-command --domain "$1" --timeout 5 '{"execute":"guest-ping"}'
}

no_error_in_the_guest() {
	! grep -a -E 'guest:|EXT4-fs (error|warning)|I/O error|JBD2|hung|Call Trace|panic' "$CONSOLE" >&2
}

# fs_file IMAGE PATH: a file's content.
fs_file() {
	debugfs -R "cat $2" "$1" 2>/dev/null
}

# The filesystem was at rest: nothing to replay, nothing to mend.
fs_is_clean() {
	local found
	found=$(e2fsck -fn "$1" 2>&1) || { echo "$found" >&2; return 1; }
	[[ $found != *recover* ]] || { echo "$found" >&2; return 1; }
}

# fs_has_synced IMAGE N: the log has all rounds to N at least. Prints how many there are.
fs_has_synced() {
	local last
	fs_file "$1" /log >"$WORK/log"
	last=$(wc -l <"$WORK/log")
	((last >= $2)) || { echo "$last rounds, not $2" >&2; return 1; }
	seq "$last" | cmp - "$WORK/log" >&2
	echo "$last"
}

# fs_has_round IMAGE N: and each of the last files is as it was written.
fs_has_round() {
	local last k
	last=$(fs_has_synced "$1" "$2")
	for ((k = last > 18 ? last - 18 : 1; k <= last; k++)); do
		seq "$k" "$((k + 999))" | cmp - <(fs_file "$1" "/$((k % 20))")
	done
}

# are_of_one_instant IMAGE IMAGE: the guest writes a line to the log of the first disk, then to that of the second.
are_of_one_instant() {
	local first second
	first=$(fs_file "$1" /log | wc -l)
	second=$(fs_file "$2" /log | wc -l)
	((first - second == 0 || first - second == 1)) || { echo "$first and $second rounds" >&2; return 1; }
}
