#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold into a qcow2 image, whose metadata must survive too: cut short at any step by SIGKILL or a loss of power, or in the
# middle of qemu-img's work.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

# A qemu-img that dies in the middle of a slow commit, when kill-at says after how many milliseconds.
real=$(command -v qemu-img)
cat >"$WORK/qemu-img" <<END
#!/bin/bash
[[ \$1 == commit && -s $WORK/kill-at ]] || exec $real "\$@"
$real "\$@" -r 4194304 &
sleep "\$(printf '0.%03d' "\$(cat $WORK/kill-at)")"
kill -KILL \$!
kill -KILL \$\$
END
chmod +x "$WORK/qemu-img"
options=(-o "qemu-img=$WORK/qemu-img")

fold_setup d.qcow2 qcow2 >/dev/null || fail "a qcow2 image with two commits"
promise "a crash at any step of folding two layers into a qcow2 image" each_crash nothing fold_both both_folded kill power:

# Whatever came of it, the disk reads as before, and the next try completes it.
killed_in_the_middle() {
	local after
	for after in 1 20 60 100 150 200 250 300; do
		put_setup_back
		start_daemon "${options[@]}"
		echo "$after" >"$WORK/kill-at"
		ctl "set $disk keep-revisions=0"
		ctl_fails EIO "fold $disk" "qemu-img commit was killed by signal 9"
		same "$(which "$disk" two)" two
		[[ $(status_of "$disk" .last_error) == *"its content is safe, and the fold is tried again"* ]]
		ctl_fails EIO "fold $disk" "killed"
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
}
promise "qemu-img killed in the middle of folds into a qcow2 image, and the daemon too" killed_in_the_middle
