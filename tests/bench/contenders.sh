# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
#
# The ways to give a guest a disk that can be thrown away, all on the same raw image. Each has three functions, by its name:
#
#	NAME_is_here       its programs are there; else says what is missing
#	NAME_up CACHE      a fresh disk, and in $target what qemu-img bench must be told to open it. CACHE (none, writeback) is what
#	                   QEMU will be told, for those who open files on its behalf
#	NAME_space         bytes that the disk takes on the medium, the image left out
#	NAME_down          nothing of it runs any more
#
# `direct` is the limit: the overlay that revertfs makes, opened where it lies.

read -ra CONTENDERS <<<"${CONTENDERS:-direct passthrough served default nbdkit qsd}"
OURS=extended_l2=on,cluster_size=128k

image=$IMAGES/disk.img # raw, full of bytes that do not repeat
overlay=$WORK/overlay.qcow2
target=()

contender_text() {
	case $1 in
	direct) echo "the same overlay, opened directly" ;;
	passthrough) echo "revertfs, passthrough" ;;
	served) echo "revertfs, served by the daemon" ;;
	default) echo "a default overlay (renaming hook, libvirt's <transient/>)" ;;
	nbdkit) echo "nbdkit --filter=cow" ;;
	qsd) echo "qemu-storage-daemon, FUSE export" ;;
	esac
}

# make_base BLOCKS: of 4 KiB each.
make_base() {
	truncate -s $(($1 * 4096)) "$image" && shred -n 1 "$image" && sync -f "$image"
}

versions() {
	local nbdkit
	nbdkit=$(nbdkit --version 2>/dev/null) || nbdkit="no nbdkit"
	echo "$nbdkit"
}

needs_program() {
	command -v "$1" >/dev/null || { echo "$1 is missing"; return 1; }
}

allocated() {
	echo $(($(stat -L -c '%b * %B' "$1")))
}

make_overlay() {
	rm -f "$overlay"
	qemu-img create -q -f qcow2 ${1:+-o "$1"} -b "$image" -F raw "$overlay"
}

direct_is_here() { :; }
direct_up() {
	make_overlay "$OURS" && target=(-f qcow2 "$overlay")
}
direct_space() { allocated "$overlay"; }
direct_down() { rm -f "$overlay"; }

default_is_here() { :; }
default_up() {
	make_overlay "" && target=(-f qcow2 "$overlay")
}
default_space() { allocated "$overlay"; }
default_down() { rm -f "$overlay"; }

# ---- revertfs, one daemon at a time: the image's directory is locked

# In a session that ends in a reset, as a guest is.
revertfs_up() {
	local name=${image##*/} session='0f7f9e1c-2d6b-4c1e-9a53-6f1b0c7d8e90 domain=guest config=1:2'
	daemon_runs || PASSTHROUGH=$1 start_daemon -o protect="$name" -o template="${OURS//,/\\,}" || return
	[[ $(status_of "$name" .session) == null ]] || ctl "release $session reason=shutdown vda source=$MNT/$name" >/dev/null || return
	ctl "prepare $session $name target=vda source=$MNT/$name" >/dev/null && target=(-f qcow2 "$MNT/$name")
}

passthrough_is_here() {
	PASSTHROUGH=require start_daemon 2>"$WORK/passthrough.err" && { stop_daemon; return; }
	echo "the kernel has no FUSE passthrough"
	return 1
}
passthrough_up() { revertfs_up require; }
passthrough_space() { status_of "${image##*/}" .scratch_bytes; }
passthrough_down() { stop_daemon; }

served_is_here() { :; }
served_up() { revertfs_up no; }
served_space() { passthrough_space; }
served_down() { stop_daemon; }

# ---- servers of others

stop_server() {
	[[ -s $WORK/server.pid ]] || return 0
	kill "$(<"$WORK/server.pid")" 2>/dev/null
	wait_until 20 server_is_gone
	rm -f "$WORK/server.pid"
}

server_is_gone() {
	! kill -0 "$(<"$WORK/server.pid")" 2>/dev/null
}

nbdkit_is_here() { needs_program nbdkit; }
nbdkit_up() {
	stop_server
	rm -f "$WORK/nbd.sock"
	TMPDIR=$WORK nbdkit -f -P "$WORK/server.pid" -U "$WORK/nbd.sock" --filter=cow file "$image" &
	wait_until 20 test -s "$WORK/server.pid" && target=(-f raw "nbd+unix:///?socket=$WORK/nbd.sock")
}
nbdkit_space() {
	local fd sum=0
	for fd in /proc/"$(<"$WORK/server.pid")"/fd/*; do
		[[ $(readlink "$fd") != "$WORK/"*' (deleted)' ]] || sum=$((sum + $(allocated "$fd")))
	done
	echo "$sum"
}
nbdkit_down() { stop_server; }

# Its qcow2 driver is in the server; what it exports is the guest's disk.
qsd_is_here() {
	needs_program qemu-storage-daemon && { qemu-storage-daemon --help | grep -q 'fuse,' || { echo "qemu-storage-daemon is built without FUSE"; return 1; }; }
}
qsd_up() {
	local direct=off
	[[ $1 != none ]] || direct=on
	stop_server
	make_overlay "$OURS" && : >"$WORK/export"
	qemu-storage-daemon --pidfile "$WORK/server.pid" \
		--blockdev "driver=file,node-name=image,filename=$image,read-only=on,cache.direct=$direct" \
		--blockdev "driver=file,node-name=file,filename=$overlay,cache.direct=$direct" \
		--blockdev driver=raw,node-name=base,file=image,read-only=on \
		--blockdev driver=qcow2,node-name=disk,file=file,backing=base \
		--export "type=fuse,id=export,node-name=disk,mountpoint=$WORK/export,writable=on" &
	wait_until 20 test -s "$WORK/server.pid" && wait_until 20 mountpoint -q "$WORK/export" && target=(-f raw "$WORK/export")
}
qsd_space() { allocated "$overlay"; }
qsd_down() {
	stop_server
	rm -f "$overlay"
}
