#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of the manual pages work as they stand there, and print what stands there. Those that need libvirt: libvirt/manual.sh.
. "$TESTLIB"
. "$TESTS/manual.bash"
need_fuse
need jq qemu-img qemu-io groff

# shellcheck disable=SC2034 # for the library
STATE=$HOST/var/lib/revertfs
IMAGES=$HOST/var/lib/libvirt/images MNT=$HOST/var/lib/libvirt/revertfs CONFIG=$HOST/etc/libvirt/hooks/config
# Mounts of the machine's own are not to be asked: out of sight, in this namespace alone.
findmnt -t fuse.revertfs -rno TARGET | while read -r point; do umount -l "$(printf '%b' "$point")"; done

# What each page begins with: the images of its examples, and nothing else.
new_host() {
	cd "$WORK" || return
	stop_daemon
	! mountpoint -q "$MNT" || umount "$MNT"
	[[ ! -e $STATE/lock ]] || wait_until 20 flock -n "$STATE/lock" true
	rm -rf --one-file-system "${HOST:?}"/{var,etc,srv}
	mkdir -p "$IMAGES" "$MNT" "$CONFIG" "$HOST"/{etc/revertfs,var/log/libvirt/qemu,var/tmp,srv}
	make_image web1.qcow2 qcow2 16M 0x11
	make_image web1-data.img raw 16M 0x12
}

control_file() {
	new_host
	start_daemon
	sessions revertfs-control.7
}
promise "the examples of revertfs-control(7) work" control_file

daemon() {
	new_host
	sessions revertfs.8
}
promise "the examples of revertfs(8) work" daemon

configuration() {
	new_host
	examples revertfs.json.5
	cp "$WORK/revertfs.json.5/1" "$HOST/etc/revertfs/revertfs.json"
	session "$WORK/revertfs.json.5/2"
}
promise "the examples of revertfs.json(5) work" configuration

# What libvirt knows of the domains: recorded XML, with the disks where the page has them. web2 names the real image.
virsh() {
	local directory=$MNT
	same "$1" dumpxml
	[[ $2 == web1 ]] || directory=$IMAGES
	sed "s|/srv/vm/win10.qcow2|$directory/web1.qcow2|; s|/srv/vm/second.qcow2|$directory/web1-data.img|" "$TESTS/hook/xml/prepare.xml"
}

install_hook() {
	mkdir -p "$HOST/etc/libvirt/hooks/qemu.d"
	cat >"$HOST/etc/libvirt/hooks/qemu.d/revertfs" <<-HOOK
		#!/bin/bash
		exec "$REVERTFS_HOOK" --config-dir="$CONFIG" --log="$HOST/var/log/libvirt/qemu/hooks.log" \\
			--save-dir="$HOST" --libvirt-log-dir="$HOST" --storage-dir="$HOST" -- "\$@"
	HOOK
	chmod 755 "$HOST/etc/libvirt/hooks/qemu.d/revertfs"
}

hook() {
	new_host
	install_hook
	start_daemon
	sessions revertfs-hook.8
}
promise "the examples of revertfs-hook(8) work" hook

domain_file() {
	new_host
	install_hook
	start_daemon
	examples revertfs-domain.json.5
	cp "$WORK/revertfs-domain.json.5/1" "$CONFIG/web1.json"
	virsh dumpxml web1 | "$HOST/etc/libvirt/hooks/qemu.d/revertfs" web1 prepare begin -
	same "$(status '[.disks[] | select(.session) | .session.target] | sort | join(" ")')" "$(jq -r '[.disks[].target] | join(" ")' "$CONFIG/web1.json")"
	same "$(status_of web1-data.img '"\(.properties["keep-revisions"]) \(.format)"')" "$(jq -r '.disks[1] | "\(.["keep-revisions"]) \(.format)"' "$CONFIG/web1.json")"
}
promise "the example of revertfs-domain.json(5) is one" domain_file

people() {
	new_host
	start_daemon
	mkdir -p "$HOST/usr/local/src/revertfs"
	ln -sf "$(dirname "$TESTS")/conf" "$HOST/usr/local/src/revertfs"
	: >"$HOST/usr/local/src/revertfs/openrc.sh"
	# Nothing is sent anywhere.
	printf '#!/bin/sh\nprintf "%%s\\n" "$@" >"%s"\n' "$WORK/uploaded" >"$HOST/usr/local/bin/openstack"
	printf '#!/bin/sh\nprintf "%%s\\n" "$@" >"%s"\n' "$WORK/sent" >"$HOST/usr/local/bin/scp"
	chmod 755 "$HOST/usr/local/bin"/{scp,openstack}
	sessions revertctl.8
	same "$(cat "$WORK/sent")" "$(printf '%s\n' "$HOST"/srv/web1.qcow2{,.json} "backup.example.org:$HOST/srv/images/")"
	grep -qx -- "--file=$HOST/srv/web1.qcow2" "$WORK/uploaded"
}
promise "the examples of revertctl(8) work" people

# No example stands where nothing runs it: each page has some, they stand below the headings that are run, and here are those of each page.
all_are_run() {
	local page top
	top=$(dirname "$TESTS")
	while read -r page; do
		awk '/^\.SH / { inside = /EXAMPLES/ } /^\.(EX|nf)/ && !inside { print FILENAME ": " FNR; bad = 1 } END { exit bad }' "$page" >&2
		grep -qE "^	(examples|sessions) ${page##*/}\$" "$TESTS/mount/manual.sh"
	done < <(find "$top/fs" "$top/hook" -name '*.[1-8]')
}
promise "all examples of all manual pages are run" all_are_run
