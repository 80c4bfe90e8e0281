#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# revertctl does what the control file does, and says in its exit status and one sentence what became of it.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

revertctl() {
	"$REVERTCTL" --mount "$MNT" "$@"
}

# exits STATUS COMMAND...: its stdout in $WORK/said, the sentence in $WORK/refusal.
exits() {
	local want=$1 status=0
	shift
	"$@" >"$WORK/said" 2>"$WORK/refusal" || status=$?
	same "$status" "$want" || { cat "$WORK/refusal" >&2; return 1; }
}

top=$(dirname "$TESTS")
# Mounts of the machine's own are not to be shown: out of sight, in this namespace alone.
findmnt -t fuse.revertfs -rno TARGET | while read -r point; do umount -l "$(printf '%b' "$point")"; done

nobody_there() {
	exits 3 revertctl protect vm.qcow2
	says "no revertfs is mounted"
}
promise "without a daemon it says so, and exits with 3" nobody_there

make_image vm.qcow2 qcow2 16M 0x11
make_image plain.img raw 1M
start_daemon || fail "the daemon starts"

no_command_line() {
	exits 2 revertctl
	exits 2 revertctl protect
	exits 2 revertctl protect vm.qcow2 more
	exits 2 revertctl protect vm.qcow2 --no-such-option
	exits 2 revertctl no-such-verb vm.qcow2
	says "'no-such-verb' is no subcommand"
}
promise "what is no command line exits with 2" no_command_line

works_as_the_control_file() {
	revertctl protect vm.qcow2
	guest_write vm.qcow2 0 64k 0x22
	revertctl reset vm.qcow2
	guest_reads vm.qcow2 0 64k 0x11
	revertctl set vm.qcow2 keep-revisions=2 leftover=keep
	same "$(status_of vm.qcow2 '.properties | "\(."keep-revisions") \(.leftover)"')" "2 keep"
	guest_write vm.qcow2 0 64k 0x33
	revertctl commit vm.qcow2 --note='a "quoted" note'
	same "$(status_of vm.qcow2 '.layers[0].note')" 'a "quoted" note'
	guest_write vm.qcow2 0 64k 0x44
	revertctl snapshot "$MNT/vm.qcow2" 'a point'
	revertctl undo "$IMAGES/vm.qcow2"
	guest_reads vm.qcow2 0 64k 0x33
	revertctl revert vm.qcow2 'a point'
	guest_reads vm.qcow2 0 64k 0x44
	revertctl clone vm.qcow2 lab.qcow2 --no-follow
	guest_reads lab.qcow2 0 64k 0x44
	same "$(status_of lab.qcow2 .follow)" false
}
promise "its verbs do what they do in the control file" works_as_the_control_file

settings_are_options() {
	revertctl reset vm.qcow2 force=yes
	guest_write vm.qcow2 0 64k 0x55
	revertctl commit vm.qcow2 note='as typed'
	same "$(status_of vm.qcow2 '[.layers[].note | select(. == "as typed")] | length')" 1
	revertctl undo vm.qcow2
	revertctl export vm.qcow2 --to="$WORK/typed.qcow2"
	exits 1 revertctl export vm.qcow2 --to="$WORK/typed.qcow2"
	says "replace=yes overwrites it"
	revertctl export vm.qcow2 --to="$WORK/typed.qcow2" replace=yes
	exits 2 revertctl reset vm.qcow2 force=maybe
	says "nothing more"
}
promise "what its sentences offer in the words of the control file can be typed" settings_are_options

names_are_quoted() {
	local offered
	yes '<p>404</p>' | head -c 1M >"$IMAGES/a page.img" || :
	exits 1 revertctl protect 'a page.img'
	offered=$(grep -o "'protect .*format=raw'" "$WORK/refusal") || { cat "$WORK/refusal" >&2; return 1; }
	same "$offered" "'protect \"a page.img\" format=raw'"
	ctl 'protect "a page.img" format=raw'
	ctl 'unprotect "a page.img"'
	rm "$IMAGES/a page.img"
}
promise "a name with a blank is in quotes in a command that is offered" names_are_quoted

refusals() {
	exits 1 revertctl protect no-such-image
	says "no-such-image"
	local fd
	exec {fd}<>"$MNT/vm.qcow2"
	exits 4 revertctl reset vm.qcow2
	says "vm.qcow2"
	exec {fd}>&-
	exits 1 revertctl --json protect no-such-image
	jq -e '.ok == false and .errno == "ENOENT"' said
}
promise "a refusal is the daemon's sentence, and another exit status where it is busy" refusals

answers_are_json() {
	exits 0 revertctl reset vm.qcow2 --json
	jq -e '.ok' said
}
promise "--json gives the daemon's answer" answers_are_json

shows_one_or_all() {
	revertctl status >said
	grep -qE '^NAME +STATE +HEAD +SCRATCH +DOMAIN +JOB$' said
	grep -qE '^vm.qcow2 +pristine ' said
	revertctl status vm.qcow2 | grep -qE '^state +pristine$'
	revertctl status vm.qcow2 --json | jq -e '.name == "vm.qcow2"'
	revertctl --json status | jq -e '.disks | length == 2'
	revertctl tree vm.qcow2 >said
	grep -qE '^\* a point  \[head\] ' said
	grep -qE '^o scratch .*pristine$' said
	exits 1 revertctl status no-such-disk
	says "there is no disk 'no-such-disk'"
	exits 1 revertctl reset no-such-disk
	says "there is no disk 'no-such-disk'; 'revertctl status' lists them"
	exits 1 revertctl reset plain.img
	says "there is no disk 'plain.img'; protect it first"
	exits 1 revertctl fold plain.img
	says "protect it first"
	# A reader that has gone is no reason to hang.
	revertctl status | true
}
promise "status and tree show one disk, or all" shows_one_or_all

other_daemon() {
	setsid "$REVERTFS" -f -o state="$WORK/other/state" "$WORK/other/images" "$WORK/other/mnt" </dev/null >other.log 2>&1 &
	echo $! >other.pid
	wait_until 20 test -e other/mnt/.revertfs/control
}

several_mounts() {
	mkdir -p other/images other/mnt
	qemu-img create -q -f qcow2 other/images/b.qcow2 1M
	other_daemon
	"$REVERTCTL" protect "$WORK/other/images/b.qcow2"
	"$REVERTCTL" reset "$WORK/other/mnt/b.qcow2"
	ln -s other/mnt link
	"$REVERTCTL" reset "$WORK/link/b.qcow2"
	exits 1 "$REVERTCTL" reset "$WORK/nowhere/b.qcow2"
	says "lies in no revertfs mount"
	"$REVERTCTL" reset b.qcow2 --mount="$WORK/other/mnt/"
	(cd other && "$REVERTCTL" reset b.qcow2 --mount mnt && "$REVERTCTL" reset b.qcow2 --mount=../other//mnt//)
	exits 3 "$REVERTCTL" reset b.qcow2 --mount=nowhere/mnt
	says "no revertfs is mounted at 'nowhere/mnt'"
	"$REVERTCTL" status >said
	grep -qFx "$MNT" said
	grep -qFx "$WORK/other/mnt" said
	grep -q '^b.qcow2' said
	"$REVERTCTL" status --json | jq -e '[.mounts[].disks[].name] | sort == ["b.qcow2", "lab.qcow2", "vm.qcow2"]'
}
promise "with several mounts a path or --mount chooses, and status shows all" several_mounts

a_name_in_one_mount() {
	"$REVERTCTL" reset b.qcow2
	"$REVERTCTL" reset vm.qcow2
	"$REVERTCTL" snapshot b.qcow2 p
	"$REVERTCTL" tree b.qcow2 | grep -q '^\* p '
	"$REVERTCTL" export b.qcow2 --to="$WORK/b.qcow2"
	"$REVERTCTL" delete b.qcow2 p
	mkdir other/images/deep
	qemu-img create -q -f qcow2 other/images/deep/c.qcow2 1M
	exits 1 "$REVERTCTL" reset deep/c.qcow2
	says "there is no disk 'deep/c.qcow2'; protect it first"
	"$REVERTCTL" protect deep/c.qcow2
	"$REVERTCTL" unprotect deep/c.qcow2
	exits 1 "$REVERTCTL" reset no-such-disk
	says "'no-such-disk' is in none of the revertfs mounts ('$MNT', '$WORK/other/mnt'); 'revertctl status' lists their disks"
}
promise "a name that only one of several mounts has needs no --mount" a_name_in_one_mount

a_name_in_several_mounts() {
	qemu-img create -q -f qcow2 other/images/vm.qcow2 1M
	"$REVERTCTL" reset vm.qcow2 # the other is no disk
	exits 1 "$REVERTCTL" protect vm.qcow2
	says "'vm.qcow2' is in '$MNT' as well as in '$WORK/other/mnt': choose one with --mount=$MNT, or give its path"
	"$REVERTCTL" protect vm.qcow2 --mount="$WORK/other/mnt"
	exits 1 "$REVERTCTL" reset vm.qcow2
	says "choose one with --mount=$MNT, or give its path"
	"$REVERTCTL" reset vm.qcow2 --mount="$MNT"
	"$REVERTCTL" unprotect "$WORK/other/mnt/vm.qcow2"
	rm other/images/vm.qcow2
}
promise "... and of one that several have they are named" a_name_in_several_mounts

a_mount_does_not_answer() {
	local began
	kill -STOP "$(cat other.pid)"
	began=$SECONDS
	exits 3 "$REVERTCTL" reset vm.qcow2
	((SECONDS - began < 30))
	kill -CONT "$(cat other.pid)"
	says "'vm.qcow2' is in '$MNT', but whether it is in '$WORK/other/mnt' as well is not known: the revertfs daemon of '$WORK/other/mnt' did not answer within 5 s"
	says ". Or say --mount=$MNT"
	kill -KILL "$(cat other.pid)"
	wait_until 20 refuses test -e other/mnt/.revertfs/control
	exits 3 "$REVERTCTL" status
	grep -q "does not run" said
	grep -q '^vm.qcow2' said
	exits 3 "$REVERTCTL" reset b.qcow2
	says "whether 'b.qcow2' is in '$WORK/other/mnt' is not known: the revertfs daemon of '$WORK/other/mnt' does not run"
	exits 0 "$REVERTCTL" reset vm.qcow2 --mount="$MNT"
	umount -l other/mnt
}
promise "one of several that does not answer is named and not waited for, and the others are shown" a_mount_does_not_answer

installs() {
	local files
	command make -s -C "$top" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" DESTDIR="$WORK/root" UNITDIR=/units install >&2
	files=$(cd root && find . -name '*revertctl*' | sort | tr '\n' ' ')
	same "$files" "./usr/local/bin/revertctl ./usr/local/share/bash-completion/completions/revertctl ./usr/local/share/man/man8/revertctl.8 ./usr/local/share/zsh/site-functions/_revertctl "
	command make -s -C "$top" BUILD="$BUILD" DESTDIR="$WORK/root" UNITDIR=/units uninstall >&2
	same "$(find root -type f)" ""
}
promise "it is installed with its manual page and completions, and uninstalled" installs
