#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk or an I/O error at any step of a prepare or a release: the domain's disks are changed all or none, nothing is lost, and the
# next prepare works, with or without a restart of the daemon.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
make_image a.img raw 2M 1
make_image b.img raw 2M 1
cp "$IMAGES/a.img" "$WORK/before.raw"
model after before "write -q -P 2 512k 256k" "write -q -P 3 1500k 7k"

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

commit() {
	ctl 'commit a.img'
}

# ---- a domain with two disks

a_session() {
	ctl "prepare $uuid domain=d a.img target=vda armed=yes b.img target=vdb armed=yes"
	writes a.img
	writes b.img
}

release() {
	ctl "release $uuid domain=d reason=shutdown vda armed=yes vdb armed=yes"
}

aside() {
	status_of "$1" '.layers[].names[]' | grep '^uncommitted-'
}

# Both or neither; what was not committed is put aside at the next prepare. Where the promise was made and a record could not be
# written, the next start keeps it.
both_later() {
	local a b
	untouched
	if [[ $AGAIN == no ]] && ! is_done; then
		[[ $(status '.disks[].last_error') != $'null\nnull' ]]
		return
	fi
	none_has_failed
	ctl "prepare $uuid domain=d a.img target=vda b.img target=vdb"
	a=$(which a.img before after)
	b=$(which b.img before after)
	same "$a" "$b"
	if [[ $a == before ]]; then
		! is_done
		aside a.img && aside b.img
	fi
	ctl "release $uuid domain=d reason=shutdown vda vdb"
	[[ $AGAIN == no ]] || is_mended
}
promise "no space at any step of a release that commits two disks: both or neither" \
	each_failure a_session release both_later ENOSPC
promise "an I/O error at any step of a release that commits two disks: both or neither" \
	each_failure a_session release both_later EIO

# An intent that is there longer than it counts: the disks have gone on meanwhile.
an_old_intent() {
	# shellcheck disable=SC2034 # is_mended looks at it
	HOW=fail
	! daemon_runs || kill_daemon
	put_setup_back
	start_faulty
	a_session
	plan fail 0 EIO "unlink $STATE/intents"
	release
	heal
	[[ -s $STATE/intents/$uuid.json ]]
	guest_write a.img 0 64k 4
	commit
	ctl 'undo b.img'
	restart_daemon
	guest_reads a.img 0 64k 4
	same "$(which b.img before after)" before
	same "$(ls "$STATE/intents")" ""
	is_mended
	stop_daemon
}
promise "an intent that could not be removed moves no head back at the next start" an_old_intent

unhooked() {
	writes a.img
	writes b.img
}

prepare() {
	ctl "prepare $uuid domain=d a.img target=vda b.img target=vdb"
}

# The domain does not start; it does at the next try, and what was found is put aside once.
prepares_later() {
	untouched
	none_has_failed
	if [[ $AGAIN == no ]]; then
		is_done || prepare
		same "$(which a.img before)$(which b.img before)" beforebefore
		same "$(status_of a.img '[.layers[].names[]] | length')" 1
		same "$(status_of b.img '[.layers[].names[]] | length')" 1
		ctl "release $uuid domain=d reason=destroyed vda vdb"
	else
		is_mended
	fi
}
promise "no space at any step of a prepare that puts leftovers aside" each_failure unhooked prepare prepares_later ENOSPC
