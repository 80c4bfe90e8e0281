#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold says ahead of time until when it may write the image. So however often it is killed, or loses its power, it goes on; it stands
# still as long as it cannot say that, and fails where it cannot at all.
# shellcheck disable=SC2034,SC2154 # shared with lib.sh
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
[[ \$1 == commit ]] && exec $real "\$@" -r "\$(cat $WORK/rate)"
exec $real "\$@"
END
chmod +x "$WORK/qemu-img"
options=(-o "qemu-img=$WORK/qemu-img" -o unboxed=yes)

rate() {
	echo "$1" >"$WORK/rate.new"
	mv "$WORK/rate.new" "$WORK/rate"
}

rate 1G
make_image d.img raw 24M 1
truncate -s 24M "$WORK/after.raw"
qemu_io -f raw -c "write -q -P 1 0 24M" -c "write -q -P 2 0 20M" "$WORK/after.raw"
start_daemon "${options[@]}" || fail "the daemon starts"
ctl "protect d.img" >/dev/null && ctl "set d.img keep-revisions=9" >/dev/null || fail "the image can be protected"
guest_write d.img 0 20M 2
ctl "commit d.img" >/dev/null || fail "a commit"
keep_setup

# The run that goes on by itself is slow; another one is not.
ends_well() {
	wait_until 20 qemu_img_runs
	rate 1G
	ctl "cancel d.img job=fold"
	ctl "fold d.img"
	same "$(status_of d.img '"\(.layers | length) \(.last_error)"')" "1 null"
	qemu-img compare -q -f raw -F raw "$WORK/after.raw" "$IMAGES/d.img"
	refuses grep "written or put back" "$DAEMON_LOG"
	same "$(find "$STATE/layers" -name '*.span*')" ""
}

# Of the one layer that is being folded.
span() {
	jq ".$1 / 1e9" "$STATE"/layers/*.span
}

sleeps_at_random() {
	sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
}

: "${KILLS:=30}"
killed_again_and_again() {
	local i
	put_setup_back
	rate 2M
	start_kept "${options[@]}"
	ctl "set d.img keep-revisions=0"
	for ((i = 0; i < KILLS; i++)); do
		wait_until 20 qemu_img_runs
		((i % 10)) && sleep "0.0$((RANDOM % 10))" || sleeps_at_random
		kill_serving
	done
	ends_well
}
promise "a fold that is killed $KILLS times goes on each time" killed_again_and_again
stop_daemon

: "${ROUNDS:=5}"
power_lost_again_and_again() {
	local i
	put_setup_back
	rate 2M
	for ((i = 0; i < ROUNDS; i++)); do
		"$power" begin "$STORE" "$STATE" "$IMAGES"
		FAULT_STORE=$STORE start_faulty
		ctl "set d.img keep-revisions=0"
		wait_until 20 qemu_img_runs
		sleeps_at_random
		kill_daemon
		wait_until 20 no_qemu_img_runs
		"$power" cut "$STORE" "$STATE" "$IMAGES" "$((RANDOM + 1))"
		rm -rf "$STORE" "$STATE.before-cut"
		another_boot
	done
	start_daemon "${options[@]}"
	ends_well
}
promise "a fold that loses its power $ROUNDS times goes on each time" power_lost_again_and_again
stop_daemon

# ---- renewals that are late, or fail

is_held() {
	grep -q ': here$' "$TRACE"
}

# begin_slowly PLAN: a fold, of which the second span and all later ones are struck.
begin_slowly() {
	stop_daemon
	put_setup_back
	heal
	rm -f "$TRACE"
	rate 2M
	start_faulty
	ctl "set d.img keep-revisions=0"
	wait_until 20 qemu_img_runs
	plan "$1"
}

stands_still() {
	[[ $(ps -o state= -p "$(pgrep -x qemu-img)") == T ]]
}

goes_on() {
	! stands_still
}

span_is_over() {
	[[ $(jq -n "$(date +%s.%N) > $(span until)") == true ]]
}

stands_still_while_late() {
	begin_slowly "hold 1 span.new"
	wait_until 20 is_held
	wait_until 20 stands_still
	wait_until 20 span_is_over
	[[ $(jq -n "$(stat -c %.9Y "$IMAGES/d.img") < $(span until)") == true ]]
	heal
	wait_until 20 goes_on
	ends_well
}
promise "a fold stands still while it cannot say for how long it goes on, and goes on then" stands_still_while_late

killed_while_late() {
	begin_slowly "hold 1 span.new"
	wait_until 20 stands_still
	wait_until 20 span_is_over
	kill_daemon
	heal
	start_daemon "${options[@]}"
	ends_well
}
promise "a fold that was killed after it stood still goes on" killed_while_late

# It is not waited for that the renewal has ended; the next run waits.
yields_while_late() {
	begin_slowly "hold 1 span.new"
	wait_until 20 is_held
	guest_write d.img 21M 64k 3
	is_held
	guest_reads d.img 21M 64k 3
	no_qemu_img_runs
	heal
	ctl "reset d.img"
	ends_well
}
promise "a fold yields to a guest although its renewal is late" yields_while_late

fails_in_time() {
	begin_slowly "fail 0 $1 span.new"
	wait_until 20 no_qemu_img_runs
	wait_until 20 has_failed "$2"
	heal
	ends_well
}
has_failed() {
	status_of d.img .last_error | grep "not folded yet: that it goes on cannot be recorded: $1; its content is safe"
}
promise "a fold stops where its renewal fails for lack of space, and is tried again" fails_in_time ENOSPC "No space left on device"
promise "... or for an error of the medium" fails_in_time EIO "Input/output error"
