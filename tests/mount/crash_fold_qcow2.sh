#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold into a qcow2 image, whose metadata must survive too: cut short at any step by SIGKILL or a loss of power, or in the
# middle of qemu-img's work.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

# A qemu-img that dies in the middle of a slow commit, when kill-at says after how many milliseconds. In a box it could not kill.
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
[[ \$1 == commit && -s $WORK/kill-at ]] || exec $real "\$@"
(
	sleep "\$(printf '0.%03d' "\$(cat $WORK/kill-at)")"
	kill -KILL \$\$
) >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- & # nor the images
exec $real "\$@" -r 4194304
END
chmod +x "$WORK/qemu-img"
options=(-o "qemu-img=$WORK/qemu-img" -o unboxed=yes)

disk=d.qcow2
fold_setup "$disk" qcow2 1 >/dev/null || fail "a qcow2 image with a commit"
promise "a crash at any step of a fold into a qcow2 image" each_crash nothing fold is_folded kill power:

# The last pieces may be copied before it is killed.
dies() {
	ctl "fold $disk" >"$WORK/answer" ||
		jq -e '.errno == "EIO" and (.error | contains("qemu-img commit was killed by signal 9; its content is safe"))' "$WORK/answer"
	! grep -q EIO "$WORK/answer" || echo >>"$WORK/deaths"
}

# Whatever came of it, the disk reads as before, and the next try completes it.
killed_in_the_middle() {
	local after
	for after in 1 20 60 100 150 200 250 300; do
		put_setup_back
		start_daemon "${options[@]}"
		echo "$after" >"$WORK/kill-at"
		ctl "set $disk keep-revisions=0"
		dies
		same "$(which "$disk" two)" two
		dies
		rm "$WORK/kill-at"
		((after % 100)) || kill_daemon
		((after % 100)) || start_daemon "${options[@]}"
		[[ $after == 250 ]] || ctl "fold $disk" || wait_until 20 job_is_done "$disk"
		wait_until 20 job_is_done "$disk"
		same "$(which "$disk" two)" two
		image_is "$disk" qcow2 two
		image_is_sound "$disk"
		stop_daemon
	done
	(($(wc -l <"$WORK/deaths") >= 8))
}
promise "qemu-img killed in the middle of folds into a qcow2 image, and the daemon too" killed_in_the_middle
