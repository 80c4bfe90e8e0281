#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A libvirt host is set up from zero by the README's own lines, and its domain reverts and commits as they say.
# shellcheck source=tests/libvirt/lib.sh
. "$TESTS/libvirt/lib.sh"
top=$(dirname "$TESTS")
MNT=/var/lib/libvirt/revertfs
IMAGES=/var/lib/libvirt/images

# Outside libvirt's directories, which are private here, the machine's own are left alone.
here() {
	sed "s|/etc/revertfs|$WORK/etc/revertfs|g; s|/var/lib/revertfs|$STATE|g; s|/usr/local|$WORK/usr/local|g"
}

# The blocks of the section, in files 1, 2 ...
mkdir "$WORK/blocks" && cd "$WORK/blocks" || exit
sed -n '/^## On a libvirt host/,/^## revertctl/p' "$top/README.md" | here |
	awk '/^```/ { on = !on; n += on; next } on { print > n }'

make() {
	command make -s -C "$top" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" DESTDIR="$WORK" UNITDIR=/units "$@" >&2 &&
		cp -r "$WORK/etc/libvirt/hooks/." /etc/libvirt/hooks
}

# systemd is not in a test: the unit's command is started as it would start it.
systemctl() {
	case $* in
	daemon-reload) ;;
	"enable --now revertfs")
		local command
		read -ra command < <(sed -n 's/^ExecStart=//p' "$WORK/units/revertfs.service" | here)
		run_in_background revertfs "${command[@]}"
		cp "$LV/revertfs.process" "$WORK/daemon.pid"
		wait_until 20 mounted_or_gone && mount_answers
		;;
	"restart libvirtd"*) stop_libvirt && start_libvirt ;;
	*) return 1 ;;
	esac
}

# paste N: the block as the reader would paste it, in the source tree.
paste() {
	(
		cd "$top" || exit
		sed "s|conf/revertfs.json|$WORK/conf.json|" "$WORK/blocks/$1" >"$WORK/blocks/$1.sh"
		here <conf/revertfs.json >"$WORK/conf.json"
		# shellcheck disable=SC1090
		set -e && . "$WORK/blocks/$1.sh"
	)
}

off() {
	paste 5 && wait_until 20 domain_is web1 "shut off"
}

mkdir -p "$IMAGES"
make_image web1.qcow2 qcow2 16M 0x11
start_libvirt || fail "libvirtd starts"
define_domain web1 "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.qcow2")" || fail "the domain is defined"

is_set_up() {
	paste 1
	mount_answers
	[[ -x /etc/libvirt/hooks/qemu.d/revertfs ]]
	paste 2
	paste 3
}
promise "the host is set up" is_set_up

shows_its_chain() {
	paste 4 >"$WORK/start.log"
	grep -q '^web1.qcow2 .* web1 ' "$WORK/start.log"
	grep -F "<source file='$MNT/.revertfs/layers/$(status_of web1.qcow2 .head).backing_file.img'/>" "$WORK/start.log"
}
promise "the domain starts, and its XML shows what the disk stands on" shows_its_chain

reverts() {
	guest_io web1 vda 'write -P 0x22 0 1M'
	off
	start_domain web1
	guest_io web1 vda 'read -P 0x11 0 1M'
	off
}
promise "what the guest wrote is gone" reverts

commits_once() {
	paste 6
	start_domain web1
	guest_io web1 vda 'write -P 0x33 0 1M'
	off
	same "$(jq '.disks[0]["one-shot-commit"]' /etc/libvirt/hooks/config/web1.json)" false
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 0 1M 0x33
	image_reads web1.qcow2 qcow2 1M 15M 0x11
}
promise "an armed session is kept, in the real image, and only that one" commits_once
