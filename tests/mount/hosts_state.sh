#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A daemon whose state directory another host may have by now changes nothing there, and its guests go on.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

STATE=$WORK/shared/state
shared_filesystem || fail "a filesystem that hosts share"
domain=11111111-1111-1111-1111-111111111111
make_image vm.img raw 4M 1
make_image other.img raw 4M 1

# What is in the state directory, but for what guests write and the lock.
state_of() {
	(cd "$WORK/server/state" && find . -type f ! -name lock ! -name scratch.qcow2 ! -name '*.template*' -exec sha256sum {} + | sort)
}

with_a_warning() {
	start_daemon -o protect=vm.img
	grep -F "the state directory '$STATE' lies on a filesystem (FUSE) that other hosts may see" "$DAEMON_LOG"
	ctl "prepare $domain domain=a vm.img target=vda"
	guest_write vm.img 0 64k 2
	ctl "release $domain domain=a reason=shutdown vda"
	guest_write vm.img 0 64k 3
	ctl 'commit vm.img'
	ctl 'fold vm.img'
	image_reads vm.img raw 0 64k 3
	restart_daemon
	guest_reads vm.img 0 64k 3
	same "$(status .lost)" false
}
promise "a state directory on a filesystem that other hosts may see is used, with a warning" with_a_warning || exit

second_host_waits() {
	mkdir "$WORK/images2"
	refuses second_daemon "$STATE" "$WORK/images2"
	says "another revertfs uses the state directory '$STATE', or a qemu-img that it has started: pid $(daemon_pid) on host '$(hostname)'"
	guest_write vm.img 0 64k 7
	kill_daemon
	second_daemon "$STATE" "$IMAGES"
	start_daemon
	ctl 'reset vm.img'
	guest_reads vm.img 0 64k 3
}
promise "a second host's daemon is refused there while the first lives, and comes in when that is killed" second_host_waits || exit

# A guest that stays: its patterns are read back at the end.
mkfifo "$WORK/guest"
exec 8<>"$WORK/guest"
start_guest() {
	ctl "prepare $domain domain=a vm.img target=vda" >/dev/null
	: >"$WORK/guest.log"
	qemu-io -f qcow2 "$MNT/vm.img" <"$WORK/guest" >>"$WORK/guest.log" 2>&1 8>&- &
	guest "write -P 4 0 64k"
}

# guest COMMAND: of qemu-io; waits until it is done.
guest() {
	local count
	count=$(grep -c ' ops; ' "$WORK/guest.log" || :)
	echo "$1" >&8
	wait_until 10 guest_has_done $((count + 1))
	! grep -iE 'failed|error' "$WORK/guest.log"
}

guest_has_done() {
	(($(grep -c ' ops; ' "$WORK/guest.log") >= $1))
}

# A server that does not answer is no other host.
for_a_moment() {
	local before
	before=$(state_of)
	touch "$WORK/told/away"
	ctl_fails EIO 'protect other.img' "it cannot be told whether the state directory '$STATE' is still locked"
	guest "write -P 5 64k 64k"
	rm "$WORK/told/away"
	same "$(state_of)" "$before"
	same "$(status .lost)" false
	ctl 'protect other.img'
	ctl 'unprotect other.img'
}

refused_for_good() {
	local before command
	before=$(state_of)
	"$@"
	for command in 'reset vm.img' 'commit vm.img' 'snapshot vm.img x' 'set vm.img keep-revisions=3' 'protect other.img' \
		'clone vm.img new.img' 'fold vm.img' "release $domain domain=a reason=shutdown vda" \
		"prepare ${domain//1/2} domain=b vm.img target=vda"; do
		ctl_fails ESTALE "$command" "the lock on the state directory '$STATE' is lost, and another host may be using it"
	done
	same "$(status .lost)" true
	"$REVERTCTL" doctor >"$WORK/doctor" || :
	grep "no command is done any more: the lock on the state directory is lost" "$WORK/doctor"
	grep "no command changes anything" "$MNT/.revertfs/status"
	grep "the lock on the state directory is lost" "$DAEMON_LOG"
	guest "write -P 6 128k 64k"
	guest "read -P 4 0 64k"
	guest "read -P 6 128k 64k"
	# Not even when the lock could be had again.
	rm -f "$WORK/told/lost"
	ctl_fails ESTALE 'protect other.img' "is lost"
	same "$(state_of)" "$before"
}

another_has_it() {
	touch "$WORK/told/lost"
}

# It came and went while this host was cut off.
another_had_it() {
	printf '%-158s\n' "h2 17 0123456789abcdef" >"$WORK/server/state/lock"
}

begin_again() {
	echo quit >&8
	wait_until 10 disk_is_free
	stop_daemon
	start_daemon
	ctl "release $domain domain=a reason=shutdown vda"
}

disk_is_free() {
	same "$(status '.disks[0].open')" 0
}

start_guest || fail "a guest"
promise "while it cannot be told who has the lock a command fails, and the next one works" for_a_moment
promise "when another host has it all commands are refused for good, nothing is changed, and the guest goes on" refused_for_good another_has_it

begin_again && start_guest || fail "the daemon starts again"
had_meanwhile() {
	refused_for_good another_had_it
	grep "as it seems to pid 17 on host 'h2'" "$DAEMON_LOG"
}
promise "... also when that host has had it and left" had_meanwhile

# ---- lost within a command: at the fold's end nothing goes on, and the next daemon finds all as it was

begin_again || fail "the daemon starts again"
lost_in_a_fold() {
	guest_write vm.img 0 64k 9
	cat >"$WORK/qemu-img" <<-SH
		#!/bin/bash
		[[ \$1 != commit ]] || touch "$WORK/told/lost"
		exec qemu-img "\$@"
	SH
	chmod +x "$WORK/qemu-img"
	stop_daemon
	start_daemon -o qemu-img="$WORK/qemu-img" -o unboxed
	ctl 'commit vm.img'
	ctl_fails ESTALE 'fold vm.img' "is lost, and another host may be using it"
	grep '"folding"' "$STATE"/layers/*.json
	stop_daemon
	rm "$WORK/told/lost"
	start_daemon
	ctl 'fold vm.img'
	image_reads vm.img raw 0 64k 9
}
promise "lost in the middle of a fold, the records stay as they are, and the next daemon finishes it" lost_in_a_fold

cannot_be_looked_after() {
	stop_daemon
	touch "$WORK/told/nolocks"
	refuses timeout 20 "$REVERTFS" -f -o state="$STATE" "$IMAGES" "$MNT"
	says "cannot be locked: No locks available"
	rm "$WORK/told/nolocks"
}
promise "where the filesystem has no locks no daemon starts" cannot_be_looked_after
