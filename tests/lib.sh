# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every test script begins with: . "$TESTLIB". tests/run gives it $WORK, an empty directory of its own, and
# namespaces of its own, so nothing needs to be cleaned up.
#
#	promise "a reset gives the old bytes back" reset_gives_old_bytes
#
# runs a function in a subshell under set -e: the first command that fails breaks the promise, and is named.
# What must be remembered between promises is therefore in files (as daemon.pid here), not in variables.
set -u

IMAGES=$WORK/images MNT=$WORK/mnt STATE=$WORK/state
DAEMON_LOG=$WORK/daemon.log
mkdir -p "$IMAGES" "$MNT"

# ---- promises

ok() {
	echo "ok $*"
}

not_ok() {
	echo "not ok $*"
}

# For a failure after which the rest of the script would test nothing.
fail() {
	not_ok "$@"
	exit 1
}

skip() {
	echo "skip $*"
}

# Skip the whole script when a program is missing.
need() {
	local program
	for program; do
		command -v "$program" >/dev/null || { skip "${0##*/}: $program is missing"; exit 0; }
	done
}

need_fuse() {
	[[ -r /dev/fuse && -w /dev/fuse ]] || { skip "${0##*/}: /dev/fuse is missing"; exit 0; }
}

# Names the line of the test script, even where the command that failed stands in a function of this file.
where_it_broke() {
	local i
	for ((i = 1; i < ${#BASH_SOURCE[@]}; i++)); do
		[[ ${BASH_SOURCE[i]} == "$0" ]] && break
	done
	echo "${0##*/}:${BASH_LINENO[i - 1]}: $1" >&2
}

# promise NAME COMMAND...: one named promise. Where the command is called `expect_...` or tested with if or ||, its
# own failures do not count: that is how set -e works.
promise() {
	local name=$1 trace=$WORK/promise.err
	shift
	(
		set -eE
		trap 'where_it_broke "$BASH_COMMAND"' ERR
		"$@"
	) 2>"$trace" >&2
	local broken=$? # not `if ( ... )`: there set -e would be off inside
	if ((broken == 0)); then
		ok "$name"
	else
		not_ok "$name: $(tail -n 3 "$trace" | tr '\n' ';' | cut -c 1-600)"
		sed 's/^/  /' "$trace" >&2
		return 1
	fi
}

# refuses COMMAND...: true when it fails. Its output, stderr included, is in $WORK/refusal.
refuses() {
	! "$@" >"$WORK/refusal" 2>&1 || { echo "not refused: $*" >&2; return 1; }
}

# says TEXT: the last refusal holds these words.
says() {
	grep -qF -- "$1" "$WORK/refusal" || { echo "'$(cat "$WORK/refusal")' does not say '$1'" >&2; return 1; }
}

same() {
	[[ $1 == "$2" ]] || { echo "'$1' is not '$2'" >&2; return 1; }
}

# wait_until SECONDS COMMAND...: polls until it is true.
wait_until() {
	local deadline=$((SECONDS + $1 * ${SLOW:-1} + 1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < deadline)) || { echo "still not so: $*" >&2; return 1; }
		sleep 0.02
	done
}

milliseconds() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

# ---- the daemon

daemon_pid() {
	cat "$WORK/daemon.pid"
}

daemon_runs() {
	[[ -s $WORK/daemon.pid ]] && kill -0 "$(daemon_pid)" 2>/dev/null
}

daemon_is_gone() {
	! daemon_runs
}

mount_answers() {
	[[ -e $MNT/.revertfs/control ]]
}

mounted_or_gone() {
	mount_answers || daemon_is_gone
}

# launch_daemon [OPTION...]: $PROGRAM (default: the daemon as built) in the foreground, its log in $DAEMON_LOG. The
# options are remembered for restart_daemon. PASSTHROUGH=no|auto|require chooses the mode, also of a whole run:
# make check PASSTHROUGH=no.
launch_daemon() {
	printf '%s\n' "$@" >"$WORK/daemon.options"
	setsid "${PROGRAM:-$REVERTFS}" -f -o state="$STATE" -o passthrough="${PASSTHROUGH:-auto}" "$@" "$IMAGES" "$MNT" </dev/null >>"$DAEMON_LOG" 2>&1 &
	echo $! >"$WORK/daemon.pid"
}

# start_daemon [OPTION...]: ... and wait for the mount. Fails, with the log on stderr, when it ends instead of mounting.
start_daemon() {
	launch_daemon "$@"
	wait_until 20 mounted_or_gone && mount_answers || { tail -n 20 "$DAEMON_LOG" >&2; return 1; }
}

# start_kept [OPTION...]: with a keeper, which is then what daemon.pid names; the daemon is its child.
start_kept() {
	start_daemon -o keeper "$@"
}

serving_pid() {
	status .pid
}

# kill_serving: SIGKILL the daemon, and wait until the next one serves. another_serves OLD-PID: that is so.
kill_serving() {
	local old
	old=$(serving_pid)
	kill -KILL "$old"
	wait_until 20 another_serves "$old"
}

another_serves() {
	local pid
	pid=$(serving_pid)
	[[ $pid && $pid != "$1" ]]
}

# murder COUNT: SIGKILL the keeper's daemons, one after another, at random moments; some before they serve. Then $WORK/cease is made.
murder() {
	local i keeper
	keeper=$(daemon_pid)
	for ((i = 0; i < $1; i++)); do
		((RANDOM % 10)) && mount_answers
		sleep "0.0$((RANDOM % 90 + 10))"
		pkill -KILL -P "$keeper" || :
	done
	touch "$WORK/cease"
}

# under_fire KILLS LOAD...: the load, again and again, until as many daemons have been killed under it.
under_fire() {
	local kills=$1 murderer status=0
	shift
	rm -f "$WORK/cease"
	murder "$kills" &
	murderer=$!
	while [[ ! -e $WORK/cease ]] && ((status == 0)); do
		set +e
		(set -eE && "$@") # not `( ... ) ||`: there set -e would be off inside
		status=$?
		set -e
	done
	((status == 0)) || kill "$murderer" 2>/dev/null
	wait "$murderer" || :
	return "$status"
}

# Waits for the end of the daemon, whichever (sub)shell started it.
wait_for_daemon() {
	wait_until 20 daemon_is_gone && ! mountpoint -q "$MNT"
}

# End the daemon in order, as systemd does.
stop_daemon() {
	daemon_runs || return 0
	kill -TERM "$(daemon_pid)"
	wait_for_daemon
}

# SIGKILL the daemon, and remove the dead mount.
kill_daemon() {
	kill -KILL "$(daemon_pid)" 2>/dev/null
	wait_until 20 daemon_is_gone
	umount -l "$MNT" 2>/dev/null || :
}

restart_daemon() {
	local options
	mapfile -t options <"$WORK/daemon.options"
	[[ ${options[*]} ]] || options=()
	stop_daemon
	start_daemon "${options[@]}"
}

# After the machine's crash: nothing runs, the boot is another one. Mounts over what the kernel says, here only.
another_boot() {
	cat /proc/sys/kernel/random/uuid >"$WORK/boot_id"
	mountpoint -q /proc/sys/kernel/random/boot_id || mount --bind "$WORK/boot_id" /proc/sys/kernel/random/boot_id
}

# second_host COMMAND...: as on another host: with mounts, a /run, a process table and a name of its own, for 40 s at most.
second_host() {
	# shellcheck disable=SC2016 # the other host's shell expands it
	timeout 40 unshare --mount --uts --pid --fork --kill-child --mount-proc bash -c '
		hostname h2 && mount -t tmpfs -o mode=755 none /run || exit
		"$@"' - "$@"
}

# second_daemon STATE [OPTION...] IMAGES: a daemon there, which ends as soon as it serves.
second_daemon() {
	local state=$1
	shift
	mkdir -p "$WORK/mnt2"
	# shellcheck disable=SC2016
	second_host bash -c '"$@" && umount "$0"' "$WORK/mnt2" "$REVERTFS" -o state="$state" "$@" "$WORK/mnt2"
}

# ---- the control file

# ctl 'COMMAND': the JSON answer on stdout; fails when the answer is not ok. Both on one descriptor.
ctl() {
	local control answer wrote=0
	exec {control}<>"$MNT/.revertfs/control" || return
	printf '%s\n' "$1" 1>&"$control" 2>"$WORK/ctl.err" || wrote=$?
	answer=$(cat <&"$control")
	exec {control}>&-
	printf '%s\n' "$answer"
	((wrote == 0)) && jq -e '.ok == true' <<<"$answer" >/dev/null
}

# ctl_fails ERRNO 'COMMAND' [WORDS]: it is refused with this errno, in a sentence that holds these words.
ctl_fails() {
	local answer
	if answer=$(ctl "$2"); then
		echo "'$2' was not refused: $answer" >&2
		return 1
	fi
	jq -e '.ok == false and .errno == $ARGS.positional[0] and (.error as $error | all($ARGS.positional[2:][]; . as $words | $error | contains($words)))' \
		<<<"$answer" >/dev/null --args "$@" || { echo "'$2' answered $answer, not $1 ${*:3}" >&2; return 1; }
}

# The UUID of a domain that a test calls by a number. begins NAME N, ends NAME N [REASON]: its session on a disk, as the hook tells.
uuid_of() {
	printf '00000000-0000-4000-8000-%012d' "$1"
}

begins() {
	ctl "prepare $(uuid_of "$2") domain=d$2 $MNT/$1 target=vda" >&2
}

ends() {
	ctl "release $(uuid_of "$2") domain=d$2 reason=${3:-shutdown} vda source=$MNT/$1" >&2
}

# status JQ: of the whole status.json. status_of NAME [JQ]: of one disk.
status() {
	jq -r "$1" "$MNT/.revertfs/status.json"
}

status_of() {
	jq -r --arg name "$1" "(.disks[] | select(.name == \$name)) | (${2:-.})" "$MNT/.revertfs/status.json"
}

job_is_done() {
	same "$(status_of "$1" .job)" null
}

# ---- images, and the guest (qemu-io stands in for it)

# make_image NAME raw|qcow2 SIZE [PATTERN]: filled with the byte PATTERN, if given.
make_image() {
	local name=$1 format=$2 size=$3 pattern=${4:-}
	mkdir -p "$(dirname "$IMAGES/$name")"
	qemu-img create -q -f "$format" "$IMAGES/$name" "$size"
	[[ -z $pattern ]] || qemu_io -f "$format" -c "write -q -P $pattern 0 $size" "$IMAGES/$name"
}

# qemu-io prints one line for each request: shown only when it fails.
qemu_io() {
	qemu-io "$@" >"$WORK/qemu-io.out" 2>&1 || { cat "$WORK/qemu-io.out" >&2; return 1; }
}

# guest_write NAME OFFSET LENGTH PATTERN, guest_reads NAME OFFSET LENGTH PATTERN: through the mount, as QEMU does.
guest_write() {
	qemu_io -f qcow2 -c "write -q -P $4 $2 $3" "$MNT/$1"
}

guest_reads() {
	qemu_io -r -f qcow2 -c "read -q -P $4 $2 $3" "$MNT/$1"
}

# image_reads NAME FORMAT OFFSET LENGTH PATTERN: in the real image, outside the mount.
image_reads() {
	qemu_io -U -r -f "$2" -c "read -q -P $5 $3 $4" "$IMAGES/$1"
}

checksum() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

check_scratch() {
	qemu-img check -q -f qcow2 "$MNT/$1" >&2
}

# shared_filesystem: $WORK/shared is one that other hosts may see; $WORK/server has its files, and files in $WORK/told say how
# its server behaves (tests/tools/shared.c).
shared_filesystem() {
	mkdir "$WORK/server" "$WORK/told" "$WORK/shared"
	"$BUILD/tools/shared" "$WORK/server" "$WORK/told" "$WORK/shared" -f -o allow_other >"$WORK/server.log" 2>&1 &
	wait_until 10 mountpoint -q "$WORK/shared"
}

# small_filesystem DIR SIZE [MKFS-TYPE]: a filesystem in a file, so that nobody else changes its free space.
small_filesystem() {
	truncate -s "$2" "$1.fs" && mkfs."${3:-ext4}" -q "$1.fs" >&2 && mkdir -p "$1" && mount -o loop "$1.fs" "$1"
}
