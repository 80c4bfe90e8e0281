#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold that a crash has cut short goes on only over the image that it was writing. One that was put back or written since, by whatever
# tool, is left as it is; both ways out do what they say. A fold that nobody has disturbed goes on by itself.
# shellcheck disable=SC2154 # $power is the library's
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
need rsync

# A fold that takes seconds; out of a box, where it is no script's.
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
[[ \$1 == commit && -e $WORK/slow ]] && exec $real "\$@" -r 262144
exec $real "\$@"
END
chmod +x "$WORK/qemu-img"
options=(-o "qemu-img=$WORK/qemu-img" -o unboxed=yes -o max-jobs=12)

# Each image gets back what it was before a commit that is folded long since, by one tool; for some of them with the times of then. Three
# get what they were when the fold began.
foreign=(copied copied_with_times overwritten synced synced_with_times moved written)
same=(same same_with_times)
whole=(untouched)
all=("${foreign[@]}" "${same[@]}" "${whole[@]}")
models=(-f raw -F raw)

put_back() {
	cd "$1"
	cp copied.img "$IMAGES/"
	cp -p copied_with_times.img "$IMAGES/"
	dd if=overwritten.img of="$IMAGES/overwritten.img" bs=1M conv=notrunc status=none
	rsync --inplace --no-times synced.img "$IMAGES/"
	rsync --inplace --times --ignore-times synced_with_times.img "$IMAGES/"
	cp -p moved.img "$IMAGES/moved.new"
	mv "$IMAGES/moved.new" "$IMAGES/moved.img"
	qemu_io -f raw -c "write -q -P 7 3M 4k" "$IMAGES/written.img"
}

for name in "${all[@]}"; do make_image "$name.img" raw 4M 1; done
mkdir "$WORK/older" "$WORK/before"
for name in "${foreign[@]}"; do cp -p "$IMAGES/$name.img" "$WORK/older/"; done
start_daemon "${options[@]}" || fail "the daemon starts"

# One commit is part of the image, one is not yet.
commits() {
	local name=$1.img
	ctl "protect $name"
	guest_write "$name" 0 4M 2
	ctl "commit $name"
	ctl "fold $name"
	ctl "set $name keep-revisions=9"
	guest_write "$name" 0 2M 3
	ctl "commit $name"
}
all_commits() {
	local name
	for name in "${all[@]}"; do commits "$name"; done
}
(set -e; all_commits) >/dev/null || fail "two commits of each disk"
keep_setup
for name in "${same[@]}"; do cp -p "$IMAGES/$name.img" "$WORK/before/"; done
qemu_io -f raw -c "write -q -P 2 0 4M" -c "write -q -P 3 0 2M" "$WORK/after.raw" 2>/dev/null || {
	truncate -s 4M "$WORK/after.raw" && qemu_io -f raw -c "write -q -P 2 0 4M" -c "write -q -P 3 0 2M" "$WORK/after.raw"
}

is_half_written() {
	! cmp -s "$IMAGES/$1.img" "$SETUP/images/$1.img"
}

folds_run() {
	local name
	ctl "set moved.img image=unchanged" # the setup's is another file by now
	touch "$WORK/slow"
	for name in "${all[@]}"; do ctl "set $name.img keep-revisions=0"; done
	for name in "${all[@]}"; do wait_until 20 is_half_written "$name"; done
	# Without its layer it would be torn.
	ctl_fails EINVAL 'set untouched.img image=new' 'its image is what revertfs last saw' "'unprotect untouched.img force=yes'"
}

# The last moment at which any of the folds may have written.
spans_are_over() {
	local until
	until=$(cat "$STATE"/layers/*.span | jq -s 'map(.until) | max / 1e9 | floor')
	((EPOCHSECONDS > until))
}

sums() {
	local name
	for name in "${foreign[@]}"; do sha256sum <"$IMAGES/$name.img"; done
}

was_refused() {
	status_of "$1.img" .last_error | grep -q "written or put back while layer .* was not yet folded"
}

refused() {
	local name=$1 uuid=00000000-0000-4000-8000-000000000001
	wait_until 20 was_refused "$name"
	ctl_fails EBUSY "reset $name.img" "'set $name.img image=unchanged' lets it go on"
	ctl_fails EBUSY "prepare $uuid domain=d $MNT/$name.img target=vda" "'set $name.img image=new' gives up"
	guest_write "$name.img" 0 4k 8
	ctl_fails EBUSY "commit $name.img" "written or put back"
}

# cut_short HOW: kill, or power:SEED.
cut_short() {
	local how=$1 name
	put_setup_back
	if [[ $how == power* ]]; then
		"$power" begin "$STORE" "$STATE" "$IMAGES"
		export FAULT_STORE=$STORE
	fi
	start_faulty
	unset FAULT_STORE
	folds_run
	kill_daemon
	wait_until 20 no_qemu_img_runs
	rm "$WORK/slow"
	if [[ $how == power* ]]; then
		"$power" cut "$STORE" "$STATE" "$IMAGES" "${how#power:}"
		another_boot
	fi
	wait_until 20 spans_are_over
	(put_back "$WORK/older")
	cp "$WORK/before/same.img" "$IMAGES/"
	cp -p "$WORK/before/same_with_times.img" "$IMAGES/"
	sums >"$WORK/sums"
	start_faulty
}

nothing_is_destroyed() {
	local name
	cut_short "$1"
	for name in "${foreign[@]}"; do refused "$name"; done
	same "$(sums)" "$(<"$WORK/sums")"
	stop_daemon
	start_faulty
	for name in "${foreign[@]}"; do wait_until 20 was_refused "$name"; done
	same "$(sums)" "$(<"$WORK/sums")"
}

folds_end() {
	local name
	for name; do
		wait_until 20 job_is_done "$name.img"
		same "$(status_of "$name.img" '"\(.layers | length) \(.last_error)"')" "1 null"
		qemu-img compare -q "${models[@]}" "$WORK/after.raw" "$IMAGES/$name.img"
		reads_as "$name.img" "$WORK/after.raw"
	done
}

# What was to be given up is in lost/ even if that was cut short.
given_up_at_last() {
	local name=$1
	plan kill 1 "rename $STATE/layers"
	refuses ctl "set $name.img image=new"
	wait_until 20 daemon_is_gone
	umount -l "$MNT"
	start_daemon "${options[@]}"
	reads_as "$name.img" "$IMAGES/$name.img"
}

ways_out() {
	local name
	folds_end "${whole[@]}" same_with_times
	wait_until 20 was_refused same
	ctl "set same.img image=unchanged"
	folds_end same
	given_up_at_last "${foreign[0]}"
	for name in "${foreign[@]:1}"; do
		ctl "set $name.img image=new"
		same "$(status_of "$name.img" '"\(.job) \(.last_error)"')" "null null"
		reads_as "$name.img" "$IMAGES/$name.img"
	done
	same "$(sums)" "$(<"$WORK/sums")"
	# The layer, and the scratch that was written meanwhile.
	same "$(find "$STATE/lost" -type f | wc -l)" $((2 * ${#foreign[@]}))
	stop_daemon
	same "$(find "$STATE/layers" -name '*.span')" ""
}

promise "an image that was put back after a kill in the middle of a fold is left as it is" nothing_is_destroyed kill
promise "the ways out after a kill: the fold goes on over the same image, and layers are given up over another" ways_out
promise "an image that was put back after a loss of power in the middle of a fold is left as it is" nothing_is_destroyed power:$RANDOM
promise "the ways out after a loss of power" ways_out
