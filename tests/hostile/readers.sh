#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nobody keeps a fold from running by reading, but a guest: other readers are waited for no longer than reader-patience, and answered
# ESTALE then. A guest is never cut, and over a restart of the daemon each stays what he was.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"
need setfacl

for name in a b c d e f g; do
	make_image $name.raw raw 1M 0x11
	chmod 644 "$IMAGES/$name.raw"
done
# Whoever is named in an ACL, its mask, which are the bits of the group, says nothing of others.
setfacl -m "u:$MEMBER:rw" "$IMAGES/e.raw"
START=start_kept start_attacked -o reader-patience=2 -o protect='*.raw'
VIEWS=$MNT/.revertfs
install -m 644 "$TESTS/hostile/readers.py" "$WORK/readers.py"

# reader WHO NAME WORD...: in the background, with his outcomes in $WORK/NAME and his pid in $WORK/NAME.pid.
reader() {
	local who=$1 name=$2
	shift 2
	rm -f "$WORK/$name"
	PATH=/usr/bin:/bin $who python3 "$WORK/readers.py" "$@" >"$WORK/$name" 2>"$WORK/$name.err" 3>"$WORK/$name.pid" &
	wait_until 20 test -s "$WORK/$name"
}

# is_at NAME OUTCOME: so far.
is_at() {
	same "$(tail -n 1 "$WORK/$1")" "$2"
}

ends() {
	kill "$(cat "$WORK/$1.pid")"
}

# A layer that is to be folded as soon as the disk's revisions are given up.
a_layer() {
	ctl "set $1 keep-revisions=9"
	guest_write "$1" 0 64k 0x55
	ctl "commit $1"
}

fold() {
	ctl "set $1 keep-revisions=0"
	ctl "fold $1" >"$WORK/answer" || :
}

is_folded() {
	job_is_done "$1" && same "$(status_of "$1" '.layers | length')" 1
}

the_layer_of() {
	basename "$(status_of "$1" '.layers[] | select(.parent) | .id')"
}

waits_for() {
	status_of "$1" .job.waits_for | grep "$2"
}

readers_are_cut() {
	a_layer a.raw
	reader as_other image hold "$VIEWS/images/a.raw"
	reader as_other layer hold "$VIEWS/layers/$(the_layer_of a.raw)"
	reader as_other disk hold "$MNT/a.raw"
	fold a.raw
	grep "goes on by itself when that has ended, or in [12] s" "$WORK/answer"
	wait_until 30 is_folded a.raw
	image_reads a.raw raw 0 64k 0x55
	for name in image layer disk; do
		wait_until 20 is_at $name ESTALE
		same "$(tr '\n' ' ' <"$WORK/$name")" "reads ESTALE "
	done
	grep "3 descriptors" "$DAEMON_LOG"
	as_other head -c 1 "$VIEWS/images/a.raw" "$MNT/a.raw" >/dev/null
}

# After the next daemon's start too: it opens again what was open, but not for them.
the_cut_stay_cut() {
	kill_serving
	wait_until 20 is_at layer EBADF # there is no such layer any more
	wait_until 20 is_at disk EBADF
	is_at image ESTALE
	for name in image layer disk; do
		same "$(grep -c reads "$WORK/$name")" 1
		ends $name
	done
}

nor_by_coming_and_going() {
	local i
	a_layer b.raw
	for i in 1 2 3 4; do
		reader as_other $i come-and-go "$VIEWS/images/b.raw"
		reader as_other disk$i come-and-go "$MNT/b.raw"
	done
	fold b.raw
	wait_until 60 is_folded b.raw
	for i in 1 2 3 4; do
		wait_until 20 is_at $i opens
		ends $i
		ends disk$i
	done
}

session=11111111-2222-3333-4444-555555555555

# What goes by while the readers of another disk are cut is longer than a fold's patience.
is_closed() {
	same "$(status_of "$1" .open)" 0
}

guests_are_not() {
	a_layer g.raw
	ctl "prepare $session domain=dom g.raw target=vda source=$MNT/g.raw"
	chown "$USER_A" "$MNT/g.raw"
	reader as_user guest guest "$MNT/g.raw" "$VIEWS/images/g.raw"
	reader as_other onlooker hold "$VIEWS/images/g.raw"
	fold g.raw
	others_are_cut c.raw
	is_at guest reads
	is_at onlooker reads
	kill -USR1 "$(cat "$WORK/guest.pid")"
	wait_until 20 is_closed g.raw
	ctl "release $session domain=dom reason=\"shutdown\" vda source=$MNT/g.raw"
	wait_until 30 waits_for g.raw "reads layer"
	kill_serving
	others_are_cut d.raw
	waits_for g.raw "reads layer.*that has ended$"
	is_at guest reads
	ends guest
	wait_until 30 is_folded g.raw
	wait_until 20 is_at onlooker ESTALE
	same "$(cat "$WORK/guest")" reads
	ends onlooker
}

others_are_cut() {
	a_layer "$1"
	reader as_other "$1" hold "$VIEWS/images/$1"
	kill_serving
	is_at "$1" reads
	fold "$1"
	wait_until 30 is_at "$1" ESTALE
	wait_until 20 is_folded "$1"
	ends "$1"
}

an_acl_makes_no_guests() {
	a_layer e.raw
	reader as_other disk hold "$MNT/e.raw"
	fold e.raw
	wait_until 30 is_folded e.raw
	wait_until 20 is_at disk ESTALE
	ends disk
}

may_read() {
	as_other head -c 1 "$1" >/dev/null
}

# A fold that fails for another reason has cut them, too.
not_at_each_try() {
	a_layer f.raw
	sleep 1000 0<>"$IMAGES/f.raw" &
	reader as_other first hold "$VIEWS/images/f.raw"
	fold f.raw
	wait_until 20 is_at first ESTALE
	wait_until 20 failed_with f.raw "another process has the image open"
	wait_until 20 may_read "$VIEWS/images/f.raw"
	reader as_other second hold "$VIEWS/images/f.raw"
	waits_for f.raw "or in [12] s"
	kill %1
	wait_until 40 is_folded f.raw
	ends first
	ends second
}

failed_with() {
	status_of "$1" .last_error | grep "$2"
}

nor_from_going() {
	reader as_other disk hold "$MNT/c.raw"
	ctl "unprotect c.raw"
	wait_until 20 is_at disk ESTALE
	ends disk
	ctl "clone b.raw clone"
	chmod 644 "$MNT/clone"
	reader as_other disk hold "$MNT/clone"
	rm "$MNT/clone"
	wait_until 20 is_at disk ESTALE
	ends disk
}

promise "a fold waits for readers of views and disks, says for how long, and cuts them" readers_are_cut
promise "they stay cut when the daemon is killed" the_cut_stay_cut
promise "who comes again and again does not keep it from ending" nor_by_coming_and_going
promise "a guest's reader is never cut, also where the daemon is killed; an onlooker is one for the next daemon too" guests_are_not
promise "an ACL makes guests of none but whom it names" an_acl_makes_no_guests
promise "when a fold has failed, the next one waits for readers afresh" not_at_each_try
promise "no reader keeps a disk from being unprotected, or a clone from being removed" nor_from_going
