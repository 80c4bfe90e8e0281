#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk or an I/O error at any step of a prepare or a release: the domain's disks are changed all or none, nothing is lost, and the
# next prepare works, with or without a restart of the daemon.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/domain.sh"

# A disk that was sealed, but for which no fresh scratch could be made, says so, and a reset (or a prepare) helps.
none_has_failed() {
	local name
	for name in $(status '.disks[] | select(.state == "failed") | .name'); do
		same "$AGAIN" no
		[[ $(status_of "$name" .last_error) == *"cannot be served until a reset succeeds"* ]]
		ctl "reset $name"
	done
}

aside() {
	status_of "$1" '.layers[].names[]' | grep '^uncommitted-'
}

# Both or neither; what was not committed is put aside at the next prepare. Where the promise was made and a record could not be
# written, the next start keeps it.
both_later() {
	local a b
	images_untouched
	if [[ $AGAIN == no ]] && ! is_done; then
		[[ $(status '.disks[].last_error') != $'null\nnull' ]]
		return
	fi
	none_has_failed
	prepare
	a=$(which a.img before after)
	b=$(which b.img before after)
	same "$a" "$b"
	if [[ $a == before ]]; then
		! is_done
		aside a.img && aside b.img
	fi
	release_reset
	[[ $AGAIN == no ]] || is_mended
}
promise "no space at any step of a release that commits two disks: both or neither" \
	each_failure an_armed_session release_commit both_later ENOSPC
promise "an I/O error at any step of a release that commits two disks: both or neither" \
	each_failure an_armed_session release_commit both_later EIO

# An intent that is there longer than it counts: the disks have gone on meanwhile.
an_old_intent() {
	# shellcheck disable=SC2034 # is_mended looks at it
	HOW=fail
	! daemon_runs || kill_daemon
	put_setup_back
	start_faulty
	an_armed_session
	plan fail 0 EIO "unlink $STATE/intents"
	release_commit
	heal
	[[ -s $STATE/intents/$UUID.json ]]
	guest_write a.img 0 64k 4
	ctl 'commit a.img'
	ctl 'undo b.img'
	restart_daemon
	guest_reads a.img 0 64k 4
	same "$(which b.img before after)" before
	same "$(ls "$STATE/intents")" ""
	is_mended
	stop_daemon
}
promise "an intent that could not be removed moves no head back at the next start" an_old_intent

# The domain does not start; it does at the next try, and what was found is put aside once.
prepares_later() {
	images_untouched
	none_has_failed
	if [[ $AGAIN == no ]]; then
		is_done || prepare
		same "$(which a.img before)$(which b.img before)" beforebefore
		same "$(status_of a.img '[.layers[].names[]] | length')" 1
		same "$(status_of b.img '[.layers[].names[]] | length')" 1
		ctl "release $UUID domain=d reason=destroyed vda vdb"
	else
		is_mended
	fi
}
promise "no space at any step of a prepare that puts leftovers aside" each_failure an_unhooked_guest prepare prepares_later ENOSPC
