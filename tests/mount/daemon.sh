#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Starting and ending: the command returns when the mount answers, or says why it never will; nothing is left behind.
. "$TESTLIB"
need_fuse
need jq setpriv
nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
chmod 755 "$WORK"

# In the background, with the test's directories; its pid is remembered, as start_daemon does.
run() {
	run_at "$MNT" -o "state=$STATE" "$@" "$IMAGES" "$MNT"
}

run_at() {
	local mountpoint=$1
	shift
	"$REVERTFS" "$@" || return
	jq .pid "$mountpoint/.revertfs/status.json" >"$WORK/daemon.pid"
}

# Of this test: it has a pid namespace of its own.
no_daemon() {
	! pgrep -x revertfs >/dev/null || return 1
}

gone() {
	umount "${1:-$MNT}"
	wait_until 10 daemon_is_gone
}

answers_when_it_returns() {
	echo x >"$IMAGES/f"
	for _ in $(seq 5); do
		run
		same "$(cat "$MNT/f")" x
		[[ -e $MNT/.revertfs/control ]]
		gone
	done
}
promise "without -f the command returns when the mount answers" answers_when_it_returns

lets_go_of_its_caller() {
	local output
	output=$(run 2>&1) # would not return while the daemon had the pipe
	same "$output" ""
	pid=$(daemon_pid)
	same "$(readlink "/proc/$pid/cwd")" /
	same "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" /dev/null
	same "$(ps -o sid= -p "$pid" | tr -d ' ')" "$pid"
	gone
}
promise "in the background it has let go of terminal, session and directory" lets_go_of_its_caller

# refused_with WORDS ARGUMENT...: the sentence is on stderr, the status is not 0, nothing runs or is mounted.
refused_with() {
	local words=$1
	shift
	refuses "$REVERTFS" "$@"
	says "$words"
	says "revertfs: "
	same "$(wc -l <"$WORK/refusal")" 1
	no_daemon
	! mountpoint -q "$MNT" || return 1
}

missing_places() {
	refused_with "the images directory '$WORK/none': No such file or directory" -o "state=$STATE" "$WORK/none" "$MNT"
	refused_with "the mountpoint '$WORK/none': No such file or directory" -o "state=$STATE" "$IMAGES" "$WORK/none"
	refused_with "is not a directory" -o "state=$STATE" "$IMAGES/f" "$MNT"
	refused_with "is not a directory" -o "state=$STATE" "$IMAGES" "$IMAGES/f"
	refused_with "is not a directory" -o "state=$IMAGES/f" "$IMAGES" "$MNT"
	refused_with "usage: revertfs" -o "state=$STATE" "$IMAGES"
	refused_with "one argument too many" -o "state=$STATE" "$IMAGES" "$MNT" "$MNT"
}
promise "places that are not there are named" missing_places

nested_places() {
	mkdir -p "$IMAGES/sub" "$STATE/sub" "$MNT/sub"
	refused_with "lies in the images directory" -o "state=$IMAGES/state" "$IMAGES" "$MNT"
	refused_with "lies in the images directory" -o "state=$STATE,scratch=$IMAGES/sub" "$IMAGES" "$MNT"
	refused_with "lies in the state directory" -o "state=$STATE" "$STATE/sub" "$MNT"
	refused_with "lies in the state directory" -o "state=$STATE" "$IMAGES" "$STATE/sub"
	refused_with "lies in the mountpoint" -o "state=$MNT/sub/new" "$IMAGES" "$MNT"
	refused_with "lies in the images directory" -o "state=$STATE" "$IMAGES" "$IMAGES/sub"
	ln -s "$IMAGES/sub" "$WORK/hidden"
	refused_with "lies in the images directory" -o "state=$WORK/hidden/../sub/../state" "$IMAGES" "$MNT"
	rmdir "$STATE/sub" "$MNT/sub"
}
promise "a state directory in the images or under the mount, and the reverse, are refused" nested_places

bad_options() {
	refused_with "unknown option '-z'" -z "$IMAGES" "$MNT"
	refused_with "libfuse does not accept" -o "state=$STATE,colour=blue" "$IMAGES" "$MNT" 2>/dev/null ||
		says "colour=blue"
	refused_with "there is no group 'nosuchgroup'" -o "state=$STATE,group=nosuchgroup" "$IMAGES" "$MNT"
	refused_with "'many' is not a number" -o "state=$STATE,max-jobs=many" "$IMAGES" "$MNT"
	refused_with "option 'state' has no value" -o state= "$IMAGES" "$MNT"
	refused_with "cannot be chosen" -o "state=$STATE,fsname=x" "$IMAGES" "$MNT"
	refused_with "cannot open the configuration '$WORK/none.json'" -o "config=$WORK/none.json" "$IMAGES" "$MNT"
}
promise "an option that is wrong is quoted in the refusal" bad_options

help_and_version() {
	local option
	"$REVERTFS" -h >"$WORK/help"
	for option in state scratch config group protect export-dirs qemu-img template max-jobs qemu-timeout; do
		grep -q -- "-o $option=" "$WORK/help"
	done
	[[ $("$REVERTFS" --help) == "$(cat "$WORK/help")" ]]
	"$REVERTFS" -V | grep -q '^revertfs [0-9]'
}
promise "--help lists every option, -V the version" help_and_version

what_mount_8_passes() {
	run_at "$MNT" "$IMAGES" "$MNT" -o "rw,noauto,nofail,_netdev,dev,suid,exec,user=root,x-systemd.automount,noatime,state=$STATE"
	local line
	line=$(grep " $MNT " /proc/self/mountinfo)
	for word in nosuid nodev noatime; do
		grep -qw "$word" <<<"$line"
	done
	gone
	run -o ro
	refuses touch "$MNT/x"
	says "Read-only file system"
	gone
}
promise "what mount(8) and fstab pass is understood, and nosuid and nodev stay" what_mount_8_passes

the_mount_is_recognised() {
	run
	grep -qF " $MNT rw,nosuid,nodev,relatime - fuse.revertfs $IMAGES rw," /proc/self/mountinfo
	grep " $MNT " /proc/self/mountinfo | grep -q default_permissions
	grep " $MNT " /proc/self/mountinfo | grep -q allow_other
	gone
	mkdir "$WORK/odd, name" && run_at "$MNT" -o "state=$STATE" "$WORK/odd, name" "$MNT"
	same "$(findmnt -no SOURCE "$MNT")" "$WORK/odd, name"
	gone
	mkdir "$WORK/odd\\state,2"
	run_at "$MNT" -o "state=$WORK/odd\\\\state\\,2" "$IMAGES" "$MNT"
	[[ -e $WORK/odd\\state,2/lock ]]
	gone
}
promise "the mount's source is the images directory, whatever is in the names" the_mount_is_recognised

over_itself() {
	echo original >"$IMAGES/own"
	run_at "$IMAGES" -o "state=$STATE" "$IMAGES" "$IMAGES"
	same "$(cat "$IMAGES/own")" original
	[[ -e $IMAGES/.revertfs/control ]]
	echo changed >"$IMAGES/own"
	gone "$IMAGES"
	same "$(cat "$IMAGES/own")" changed
	[[ ! -e $IMAGES/.revertfs/control ]]
}
promise "it can be mounted over the very directory that it serves" over_itself

relative_paths() {
	cd "$WORK" || return
	run_at mnt -o state=state images mnt
	same "$(findmnt -no SOURCE "$MNT")" "$IMAGES"
	[[ -e $STATE/lock ]]
	gone
}
promise "relative paths mean the caller's directory" relative_paths

second_daemon() {
	run
	mkdir -p "$WORK/mnt2" "$WORK/images2"
	refuses "$REVERTFS" -o "state=$STATE" "$WORK/images2" "$WORK/mnt2"
	says "$STATE"
	refuses "$REVERTFS" -o "state=$WORK/state2" "$IMAGES" "$WORK/mnt2"
	says "$IMAGES"
	refuses "$REVERTFS" -o "state=$WORK/state2" "$MNT" "$WORK/mnt2"
	says "is served by a revertfs already"
	refuses "$REVERTFS" -o "state=$STATE" "$IMAGES" "$MNT"
	! mountpoint -q "$WORK/mnt2" || return 1
	same "$(cat "$MNT/f")" x
	gone
}
promise "a second daemon on the same state or images is refused, the first goes on" second_daemon

after_a_kill() {
	run
	kill -KILL "$(daemon_pid)"
	wait_until 10 daemon_is_gone
	refuses ls "$MNT"
	start_daemon
	grep -qF "a killed daemon's mount on '$MNT' was detached" "$DAEMON_LOG"
	same "$(cat "$MNT/f")" x
	same "$(grep -c " $MNT " /proc/self/mountinfo)" 1
	gone
}
promise "the dead mount of a killed daemon is replaced at the next start" after_a_kill

after_a_kill_over_itself() {
	run_at "$IMAGES" -o "state=$STATE" "$IMAGES" "$IMAGES"
	kill -KILL "$(daemon_pid)"
	wait_until 10 daemon_is_gone
	refuses ls "$IMAGES"
	run_at "$IMAGES" -o "state=$STATE" "$IMAGES" "$IMAGES"
	same "$(cat "$IMAGES/f")" x
	gone "$IMAGES"
}
promise "also where it lies over the images directory" after_a_kill_over_itself

other_dead_mounts_stay() {
	local pid
	"$BUILD/tools/fakedaemon" "$WORK/fake" -f "$MNT" -o subtype=other &
	pid=$!
	wait_until 20 mountpoint -q "$MNT"
	kill -KILL $pid
	wait_until 20 refuses stat "$MNT"
	refuses run
	says "is the dead mount of another filesystem"
	grep -q " $MNT .* - fuse.other " /proc/self/mountinfo
	umount -l "$MNT"
}
mkdir "$WORK/fake"
promise "another filesystem's dead mount is left alone" other_dead_mounts_stay

orderly_end() {
	local signal pid
	for signal in TERM INT; do
		start_daemon
		kill -s "$signal" "$(daemon_pid)"
		wait_for_daemon
		! mountpoint -q "$MNT" || return 1
	done
	start_daemon
	kill -HUP "$(daemon_pid)"
	kill -PIPE "$(daemon_pid)"
	mount_answers
	daemon_runs
	stop_daemon
}
promise "SIGTERM and SIGINT unmount and end it, SIGHUP and SIGPIPE do nothing" orderly_end

ends_with_open_files() {
	start_daemon
	exec 7<>"$MNT/f"
	kill -TERM "$(daemon_pid)"
	wait_for_daemon
	! mountpoint -q "$MNT" || return 1
	refuses cat <&7
	exec 7>&-
}
promise "it ends although files are open, whose readers get errors" ends_with_open_files

what_lies_below_stays() {
	mount -t tmpfs below "$MNT"
	echo below >"$MNT/below"
	start_daemon
	[[ ! -e $MNT/below ]]
	stop_daemon || mountpoint -q "$MNT"
	same "$(cat "$MNT/below")" below
	start_daemon
	mount -t tmpfs above "$MNT"
	kill -TERM "$(daemon_pid)"
	wait_until 10 daemon_is_gone
	same "$(findmnt -no SOURCE "$MNT" | tail -n 1)" above
	umount "$MNT"
	umount -l "$MNT"
	same "$(cat "$MNT/below")" below
	umount "$MNT"
}
promise "only its own mount is removed, not one below or above" what_lies_below_stays

configuration() {
	jq --arg images "$IMAGES" --arg mount "$MNT" --arg state "$STATE" \
		'.images = $images | .mount = $mount | .state = $state' "$TESTS/../conf/revertfs.json" >"$WORK/config.json"
	run_at "$MNT" -o "config=$WORK/config.json"
	same "$(cat "$MNT/f")" x
	gone
	jq '.state = "/nonexistent/none" | .group = "daemon"' "$WORK/config.json" >"$WORK/config2.json"
	run -o "config=$WORK/config2.json"
	same "$(stat -c '%U:%G %a' "$MNT/.revertfs/control")" "root:daemon 660"
	gone
}
promise "the sample configuration is read, the command line wins" configuration

# bad_config TEXT WORDS
bad_config() {
	printf '%s\n' "$1" >"$WORK/bad.json"
	refused_with "the configuration '$WORK/bad.json'" -o "config=$WORK/bad.json" "$IMAGES" "$MNT"
	says "$2"
}
bad_configurations() {
	bad_config '{"statte": "/x"}' "there is no option 'statte'"
	bad_config '{"max-jobs": "two"}' "'max-jobs' is not a number"
	bad_config '{"max-jobs": 0}' "is not a number from 1"
	bad_config '{"protect": [1]}' "'protect' is a list of texts"
	bad_config '{"state": ["a"]}' "'state' is not a text"
	bad_config '[]' "not a JSON object"
	bad_config '{"state": ' ""
	bad_config '{"config": "/x"}' "there is no option 'config'"
}
promise "a configuration that is wrong is refused in a sentence" bad_configurations

tells_systemd() {
	local pid
	command -v python3 >/dev/null || { skip "sd_notify: python3 is missing"; return 0; }
	python3 - "$WORK/notify" >"$WORK/notified" <<-'EOF' &
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		while True:
		    m = s.recv(100).decode()
		    print(m, flush=True)
		    if m == "STOPPING=1": break
	EOF
	pid=$!
	wait_until 20 test -S "$WORK/notify"
	NOTIFY_SOCKET=$WORK/notify start_daemon
	wait_until 20 grep -q READY=1 "$WORK/notified"
	mount_answers
	stop_daemon
	wait $pid
	same "$(grep -v FD "$WORK/notified")" $'READY=1\nSTOPPING=1'
	same "$(sed -n 's/^FDNAME=//p' "$WORK/notified" | sort | xargs)" "fuse handover-2 images lock"
}
promise "systemd is told when the mount answers and when it ends" tells_systemd

control_file_rights() {
	start_daemon
	same "$(stat -c '%u:%g %a' "$MNT/.revertfs/control")" "0:0 600"
	refuses "${nobody[@]}" bash -c "echo reset f >$MNT/.revertfs/control"
	says "Permission denied"
	same "$(stat -c '%u:%g %a' "$MNT"/.revertfs/{status,status.json,layers,images} | xargs)" "0:0 400 0:0 400 0:0 711 0:0 711"
	refuses "${nobody[@]}" cat "$MNT/.revertfs/status"
	stop_daemon
	start_daemon -o status-mode=0444
	"${nobody[@]}" cat "$MNT/.revertfs/status" "$MNT/.revertfs/status.json" >/dev/null
	"${nobody[@]}" ls "$MNT/.revertfs/layers" "$MNT/.revertfs/images" >/dev/null
	stop_daemon
	start_daemon -o group=1500
	setpriv --reuid 65534 --regid 65534 --groups 1500 cat "$MNT/.revertfs/status.json" >/dev/null
	setpriv --reuid 65534 --regid 65534 --groups 1500 ls "$MNT/.revertfs/layers" >/dev/null
	refuses "${nobody[@]}" ls "$MNT/.revertfs/layers"
	same "$(stat -c '%u:%g %a' "$MNT/.revertfs/control")" "0:1500 660"
	refuses "${nobody[@]}" cat "$MNT/.revertfs/control"
	says "Permission denied"
	setpriv --reuid 65534 --regid 65534 --groups 1500 cat "$MNT/.revertfs/control" >"$WORK/help"
	grep -q reset "$WORK/help"
	stop_daemon
}
promise "root alone may use the control file and read the status, or a group; or as status-mode says" control_file_rights

stop_daemon
