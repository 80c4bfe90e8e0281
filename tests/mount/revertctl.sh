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
	# A reader that has gone is no reason to hang.
	revertctl status | true
}
promise "status and tree show one disk, or all" shows_one_or_all

several_mounts() {
	mkdir -p other/images other/mnt
	qemu-img create -q -f qcow2 other/images/b.qcow2 1M
	setsid "$REVERTFS" -f -o state="$WORK/other/state" "$WORK/other/images" "$WORK/other/mnt" </dev/null >other.log 2>&1 &
	wait_until 20 test -e other/mnt/.revertfs/control
	"$REVERTCTL" protect "$WORK/other/images/b.qcow2"
	"$REVERTCTL" reset "$WORK/other/mnt/b.qcow2"
	exits 1 "$REVERTCTL" reset b.qcow2
	says "choose one with --mount"
	"$REVERTCTL" reset b.qcow2 --mount="$WORK/other/mnt/"
	(cd other && "$REVERTCTL" reset b.qcow2 --mount mnt && "$REVERTCTL" reset b.qcow2 --mount=../other//mnt//)
	exits 3 "$REVERTCTL" reset b.qcow2 --mount=nowhere/mnt
	says "no revertfs is mounted at 'nowhere/mnt'"
	"$REVERTCTL" status >said
	grep -qFx "$MNT" said
	grep -qFx "$WORK/other/mnt" said
	grep -q '^b.qcow2' said
	"$REVERTCTL" status --json | jq -e '[.mounts[].disks[].name] | sort == ["b.qcow2", "lab.qcow2", "vm.qcow2"]'
	# One that does not answer is told, and the others are shown.
	umount other/mnt
	setsid "$REVERTFS" -f -o state="$WORK/other/state" "$WORK/other/images" "$WORK/other/mnt" </dev/null >other.log 2>&1 &
	wait_until 20 test -e other/mnt/.revertfs/control
	kill -KILL $!
	wait_until 20 refuses test -e other/mnt/.revertfs/control
	exits 3 "$REVERTCTL" status
	grep -q "does not run" said
	grep -q '^vm.qcow2' said
	umount -l other/mnt
}
promise "with several mounts a path or --mount chooses, and status shows all" several_mounts

installs() {
	local files
	command make -s -C "$top" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" DESTDIR="$WORK/root" UNITDIR=/units install >&2
	files=$(cd root && find . -name '*revertctl*' | sort | tr '\n' ' ')
	same "$files" "./usr/local/bin/revertctl ./usr/local/share/bash-completion/completions/revertctl ./usr/local/share/man/man8/revertctl.8 ./usr/local/share/zsh/site-functions/_revertctl "
	command make -s -C "$top" BUILD="$BUILD" DESTDIR="$WORK/root" UNITDIR=/units uninstall >&2
	same "$(find root -type f)" ""
}
promise "it is installed with its manual page and completions, and uninstalled" installs
