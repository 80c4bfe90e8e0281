# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the scripts that make the daemon fail, die or lose its power on command: after `. "$TESTLIB"`, . "$TESTS/fault/lib.sh".
# tests/fault/fault.c says what a plan may be, tests/tools/power.c what a power cut leaves.

PLAN=$WORK/plan TRACE=$WORK/trace.txt STORE=$WORK/store SETUP=$WORK/setup
export FAULT_PLAN=$PLAN FAULT_TRACE=$TRACE
power=$BUILD/tools/power

need_fuse
need jq qemu-img qemu-io getfattr
[[ -x $REVERTFS_FAULTS && -x $power ]] || { skip "${0##*/}: the build with faults is missing"; exit 0; }

# Power is lost in tests/tools/power.c alone, and syncing thousands of times takes long; DISK=1 looks for what a real filesystem does.
if [[ ! ${DISK:-} ]] && mkdir "$WORK/ram" && mount -t tmpfs -o mode=755,size=1G tmpfs "$WORK/ram"; then
	STATE=$WORK/ram/state IMAGES=$WORK/ram/images
	mkdir "$IMAGES"
fi

options=() # of every daemon that is started below

# A command is struck at every STRIDEth of its steps, from a random one of the first on: over many runs at all of them.
# `make check-slow` strikes at each.
: "${STRIDE:=3}"

# A daemon that obeys $PLAN.
start_faulty() {
	PROGRAM=$REVERTFS_FAULTS start_daemon "${options[@]}"
}

plan() {
	echo "$*" >"$PLAN.new"
	mv "$PLAN.new" "$PLAN"
}

heal() {
	rm -f "$PLAN"
}

# ---- a setup that each try begins with: state and images as a daemon left them

keep_setup() {
	stop_daemon
	rm -rf "$SETUP"
	mkdir "$SETUP"
	cp -a --sparse=always "$STATE" "$SETUP/state"
	cp -a --sparse=always "$IMAGES" "$SETUP/images"
}

# Images keep their inodes: they are overwritten, and get their old times and marks.
put_setup_back() {
	local image
	rm -rf "$STATE" "$STATE".* "$STORE" "$IMAGES/.revertfs"
	cp -a "$SETUP/state" "$STATE"
	for image in "$SETUP"/images/*; do
		setfattr -x trusted.revertfs "$IMAGES/${image##*/}" 2>/dev/null && setfattr -x trusted.revertfs.where "$IMAGES/${image##*/}" || :
		cp -a "$image" "$IMAGES/"
	done
	[[ ! -e $SETUP/images/.revertfs ]] || cp -a "$SETUP/images/.revertfs" "$IMAGES/"
}

# ---- marks of images (model/image_mark.h)

# mark_of IMAGE: the state's id that stands in it, or nothing.
mark_of() {
	local text
	text=$(getfattr --absolute-names -n trusted.revertfs --only-values "$IMAGES/$1" 2>/dev/null) || :
	echo "${text% *}"
}

# The state's id of each mark that is a file, where there was no room in the image, or no xattrs; its name does not tell the image's.
marks_beside() {
	cat "$IMAGES"/.revertfs/mark-*.json 2>/dev/null | jq -r .state
}

# The images that a head or a hold needs a layer on, as the records say.
images_beneath() {
	find "$STATE/layers" "$STATE/disks" -name '*.json' ! -name session.json -exec cat {} + | jq -rs '
		(map(select(.id)) | INDEX(.id)) as $layers | [.[] | .head // empty, .hold // empty] | unique[] |
		select($layers[.].parent) | until($layers[.].parent | not; $layers[.].parent) | $layers[.].image'
}

# At every moment, also while no daemon runs: whatever a head or a hold needs has its mark.
heads_are_marked() {
	local image
	for image in $(images_beneath); do
		{ mark_of "$image"; marks_beside; } | grep -qxF "$(cat "$STATE/id")" || { echo "a head is a layer on '$image', which has no mark" >&2; return 1; }
	done
}

# What is there of a mark without a layer, the next start takes away.
marks_are_needed() {
	local image root needed=0
	for image in "$IMAGES"/*; do
		image=${image##*/}
		root=$(jq -r --arg image "$image" 'select(.image == $image).id' "$STATE"/layers/*.json)
		if status '.disks[].layers' | jq -es --arg root "$root" 'any(.[]; length > 1 and any(.[]; .id == $root))' >/dev/null; then
			needed=$((needed + 1))
		elif [[ $(mark_of "$image") ]]; then
			echo "'$image' is marked, and no layer stands on it" >&2
			return 1
		fi
	done
	(($(marks_beside | wc -l) <= needed)) || { echo "a mark beside the images is of one on which no layer stands" >&2; return 1; }
}

# ---- crashes

qemu_img_runs() {
	pgrep -x qemu-img >/dev/null
}

no_qemu_img_runs() {
	! qemu_img_runs
}

was_hit() {
	grep -qE ': (killed|here)$' "$TRACE" 2>/dev/null
}

# one_crash HOW N LIVE COMMAND: from the setup, a daemon; LIVE in health; then COMMAND with a crash at the Nth step. HOW is kill,
# kill-after, or a power cut: power (all that was not synced is lost) or power:SEED. $WORK/crashed is there afterwards, unless
# there are not that many steps, and $WORK/done if the command was answered with ok.
one_crash() {
	local how=$1 n=$2 live=$3 command=$4 seed=${1#power}
	! daemon_runs || kill_daemon
	put_setup_back
	heal
	rm -f "$TRACE" "$WORK/done" "$WORK/crashed"
	if [[ $how == power* ]]; then
		"$power" begin "$STORE" "$STATE" "$IMAGES"
		export FAULT_STORE=$STORE
	fi
	start_faulty
	unset FAULT_STORE
	"$live"
	case $how in
	power*) plan kill "$n" ;;
	*) plan "$how" "$n" ;;
	esac
	if "$command" >"$WORK/crashed.out" 2>&1; then touch "$WORK/done"; fi
	heal
	if ! was_hit; then
		[[ -e $WORK/done ]] || { cat "$WORK/crashed.out" >&2; return 1; }
		stop_daemon
		return
	fi
	touch "$WORK/crashed"
	wait_until 20 daemon_is_gone
	umount -l "$MNT"
	wait_until 20 no_qemu_img_runs
	if [[ $how == power* ]]; then
		"$power" cut "$STORE" "$STATE" "$IMAGES" "${seed#:}"
		another_boot
	fi
	heads_are_marked
}

# each_crash LIVE COMMAND CHECK WAY...: at each step of the command (as STRIDE says), in each way (alternating: kill and power: in turn,
# where the steps are many). The ways begin at different steps, so that three of them leave none out. CHECK is called with a healthy
# daemon running.
# Everything is called plainly: set -e does not reach what stands before || or behind if.
each_crash() {
	local live=$1 command=$2 check=$3 n way begin=$RANDOM struck
	shift 3
	trap 'where_it_broke "$BASH_COMMAND"; echo "after $AT" >&2' ERR
	for way; do
		struck=0
		for ((n = 1 + begin++ % STRIDE; ; n += STRIDE)); do
			HOW=$way
			[[ $way != alternating ]] || HOW=$( ((n % 2)) && echo kill || echo power:)
			AT="$HOW at step $n"
			one_crash "${HOW/%:/:$n}" "$n" "$live" "$command"
			[[ -e $WORK/crashed ]] || break
			struck=$((struck + 1))
			AT+=" ($(tail -n 1 "$TRACE" | sed "s|$WORK||g"))"
			start_daemon "${options[@]}"
			"$check"
			stop_daemon
		done
		((struck))
	done
}

# each_failure LIVE COMMAND CHECK ERRNO: each step of the command (as STRIDE says) fails in its turn. The command is refused with this
# errno, or bears it; CHECK is called while the daemon, healthy again, still runs, and once more after a restart (AGAIN=yes).
each_failure() {
	local live=$1 command=$2 check=$3 error=$4 n begin=$((1 + RANDOM % STRIDE))
	trap 'where_it_broke "$BASH_COMMAND"; echo "after $AT" >&2' ERR
	for ((n = begin; ; n += STRIDE)); do
		AT="$error at step $n" HOW=fail
		! daemon_runs || kill_daemon
		put_setup_back
		heal
		rm -f "$TRACE" "$WORK/done"
		start_faulty
		"$live"
		plan fail "$n" "$error"
		if "$command" >"$WORK/answer" 2>&1; then touch "$WORK/done"; fi
		heal
		grep -q ': failed$' "$TRACE" || break
		AT+=" ($(grep ': failed$' "$TRACE" | sed "s|$WORK||g"))"
		is_done || jq -e --arg e "$error" '.errno == $e and (.error | length > 20)' "$WORK/answer"
		# shellcheck disable=SC2034 # read by the checks
		AGAIN=no
		"$check"
		restart_daemon
		# shellcheck disable=SC2034
		AGAIN=yes
		"$check"
		stop_daemon
	done
	((n > begin)) && is_done
}

is_done() {
	[[ -e $WORK/done ]]
}

# ---- what is there afterwards

# reads_as NAME MODEL: the disk, through the mount, byte by byte.
reads_as() {
	qemu-img compare -q -f raw -F qcow2 "$2" "$MNT/$1"
}

# which NAME MODEL...: the first model that the disk reads as; none is a mixture.
which() {
	local name=$1 model
	shift
	for model; do
		reads_as "$name" "$WORK/$model.raw" >/dev/null && { echo "$model"; return; }
	done
	echo mixture
}

# model NAME FROM [WRITE...]: a raw file, and what was written to it as qemu-io says.
model() {
	local name=$1 from=$2 write arguments=()
	shift 2
	[[ $from == "$name" ]] || cp "$WORK/$from.raw" "$WORK/$name.raw"
	for write; do arguments+=(-c "$write"); done
	((${#arguments[@]} == 0)) || qemu_io -f raw "${arguments[@]}" "$WORK/$name.raw"
}

lost_is_fine= # what nothing needs any more may have gone to lost/

known_layers() {
	status '.disks[].layers[].id' | sort -u
}

# The daemon itself makes templates ahead, for a moment under such a name.
nothing_is_half_made() {
	same "$(find "$STATE" -name '*.new' -o -name '*.header')" ""
}

# What is known has files, and what has files is known; a fold in the background changes both, one after the other.
layers_have_files() {
	local file id
	known_layers >"$WORK/known"
	for file in "$STATE"/layers/*.qcow2 "$STATE"/layers/*.json; do
		[[ -e $file ]] || continue
		id=${file##*/}
		grep -qx "${id%.*}" "$WORK/known" || { echo "$file is reached by nothing" >&2; return 1; }
	done
	while read -r id; do
		[[ -e $STATE/layers/$id.json ]] || { echo "layer $id has no record" >&2; return 1; }
	done <"$WORK/known"
}

# Nothing half-made is left, no disk has failed, and all that is qcow2 is sound.
is_mended() {
	local id
	wait_until 20 nothing_is_half_made
	wait_until 20 layers_have_files || layers_have_files
	wait_until 20 marks_are_needed || marks_are_needed
	heads_are_marked
	while read -r id; do
		[[ ! -e $STATE/layers/$id.qcow2 ]] || qemu-img check -q -U -f qcow2 "$STATE/layers/$id.qcow2" >&2
	done <"$WORK/known"
	same "$(ls "$STATE/intents")" ""
	[[ $HOW == power* || $lost_is_fine ]] || same "$(ls "$STATE/lost")" ""
	same "$(status '.disks[] | select(.state == "failed") | .last_error')" ""
}

is_sound() {
	qemu-img check -q -f qcow2 "$MNT/$1" >&2
}

image_is_sound() {
	[[ $1 != *.qcow2 ]] || qemu-img check -q -f qcow2 "$IMAGES/$1" >&2
}

# image_is NAME FORMAT MODEL: the real image.
image_is() {
	qemu-img compare -q -f raw -F "$2" "$WORK/$3.raw" "$IMAGES/$1"
}
