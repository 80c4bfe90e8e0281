#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk or an I/O error at any step of a command: it fails with that errno and a sentence, the disk's content is what it was, and
# once the trouble is over the same command works, with or without a restart of the daemon.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

make_image a.img raw 2M 1
make_image b.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k" "write -q -P 3 1500k 7k"

nothing() {
	:
}

writes() {
	qemu_io -f qcow2 -c "write -q -P 2 512k 256k" -c "write -q -P 3 1500k 7k" "$MNT/$1"
}

untouched() {
	cmp "$IMAGES/a.img" "$WORK/before.raw"
	cmp "$IMAGES/b.img" "$WORK/before.raw"
}

# A disk that was sealed, but for which no fresh scratch could be made, says so, and a reset (or a prepare) helps.
none_has_failed() {
	local name
	for name in $(status '.disks[] | select(.state == "failed") | .name'); do
		same "$AGAIN" no
		[[ $(status_of "$name" .last_error) == *"cannot be served until a reset succeeds"* ]]
		ctl "reset $name"
	done
}

keep_revisions() {
	ctl 'set a.img keep-revisions=9'
	ctl 'set b.img keep-revisions=9'
}

start_daemon || fail "the daemon starts"
ctl 'protect a.img' >/dev/null && ctl 'protect b.img' >/dev/null && keep_revisions >/dev/null || fail "the images can be protected"
keep_setup

# ---- commit, reset

a_guest() {
	writes a.img
}

commit() {
	ctl 'commit a.img'
}

# The guest's bytes are there before and after a later commit.
commits_later() {
	untouched
	none_has_failed
	same "$(which a.img before after)" after
	if [[ $AGAIN == no ]] && ! is_done; then
		[[ $(status_of a.img .last_error) == *"a.img"* ]]
		same "$(status_of a.img '.layers | length')" 1
		commit
	fi
	ctl 'reset a.img'
	same "$(which a.img before after)" after
	same "$(status_of a.img .last_error)" null
	[[ $AGAIN == no ]] || is_mended
}
promise "no space at any step of a commit" each_failure a_guest commit commits_later ENOSPC
promise "an I/O error at any step of a commit" each_failure a_guest commit commits_later EIO

reset() {
	ctl 'reset a.img'
}

resets_later() {
	untouched
	none_has_failed
	if [[ $AGAIN == no ]] && ! is_done; then
		same "$(which a.img before after)" after
		reset
	fi
	same "$(which a.img before after)" before
}
promise "no space at any step of a reset" each_failure a_guest reset resets_later ENOSPC

# ---- protect and unprotect, undo

unprotect() {
	ctl 'unprotect b.img'
}

unprotects_later() {
	untouched
	none_has_failed
	[[ $AGAIN == yes || $(status_of b.img .name) == "" ]] || unprotect
	same "$(status_of b.img .name)" ""
	cmp "$MNT/b.img" "$WORK/before.raw"
	[[ $AGAIN == no ]] || is_mended
}
promise "an I/O error at any step of unprotect" each_failure nothing unprotect unprotects_later EIO

protect() {
	ctl 'protect b.img'
}

protects_later() {
	untouched
	none_has_failed
	[[ $AGAIN == yes || $(status_of b.img .name) == b.img ]] || protect
	same "$(which b.img before)" before
	[[ $AGAIN == no ]] || is_mended
}
# What the failed promises above left is put right first.
! daemon_runs || kill_daemon
put_setup_back
start_daemon && unprotect >/dev/null || fail "the disk can be unprotected"
keep_setup
promise "no space at any step of protect" each_failure nothing protect protects_later ENOSPC
