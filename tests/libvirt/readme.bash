# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A chapter of the README, typed as its reader would type it, on a libvirt host of the test's own: . "$TESTS/libvirt/readme.bash",
# after lib.sh.
top=$(dirname "$TESTS")
# shellcheck disable=SC2034 # for lib.sh
MNT=/var/lib/libvirt/revertfs
# shellcheck disable=SC2034
IMAGES=/var/lib/libvirt/images

# Outside libvirt's directories, which are private here, the machine's own are left alone.
here() {
	sed "s|/root/|$WORK/|g; s|/etc/revertfs|$WORK/etc/revertfs|g; s|/var/lib/revertfs|$STATE|g; s|/usr/local|$WORK/usr/local|g"
}

# blocks_of CHAPTER [FIRST]: its blocks, in the files 1, 2 ... of $WORK/blocks, or from FIRST on.
blocks_of() {
	mkdir -p "$WORK/blocks"
	awk -v chapter="## $1" '/^## / { here = $0 == chapter } here' "$top/README.md" | here |
		awk -v into="$WORK/blocks/" -v n=$((${2:-1} - 1)) '/^```/ { on = !on; n += on; next } on { print > (into n) }'
}

make() {
	command make -s -C "$top" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" DESTDIR="$WORK" UNITDIR=/units "$@" >&2 &&
		cp -r "$WORK/etc/libvirt/hooks/." /etc/libvirt/hooks
}

PATH=$WORK/usr/local/bin:$PATH # where it is installed

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
