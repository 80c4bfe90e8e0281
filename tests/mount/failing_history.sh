#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk or an I/O error at any step of history's verbs: the command fails with that errno and a sentence, no snapshot and no change is
# lost, nothing half-made stays, and once the trouble is over the same command works, with or without a restart.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/history.sh"

# A disk whose fresh scratch could not be made says so, and a reset helps; what was written is a snapshot by then.
none_has_failed() {
	[[ $(status_of d.img .state) == failed ]] || return 0
	same "$AGAIN" no
	[[ $(status_of d.img .last_error) == *"cannot be served until a reset succeeds"* ]]
	ctl 'reset d.img'
}

again() {
	[[ $AGAIN == no ]]
}

# is_mended() is for a daemon that has been started since.
intact() {
	untouched
	none_has_failed
	point_is one one
	point_is two two
	again || is_mended
}

revert() {
	ctl 'revert d.img one'
}

changes_are_kept() {
	local aside
	aside=$(points | grep '^before-revert-' | head -n 1 || :)
	[[ $(which d.img three) == three || $aside ]]
	[[ ! $aside ]] || point_is "$aside" three
}

reverts_later() {
	intact
	changes_are_kept
	! again || [[ $(which d.img one) == one ]] || revert
	same "$(which d.img one)" one
	changes_are_kept
}
promise "no space at any step of a revert" each_failure write_three revert reverts_later ENOSPC

live() {
	ctl 'snapshot d.img now live=yes'
}

copies_later() {
	intact
	same "$(which d.img three)" three
	! again || has_point now || live
	point_is now three
	same "$(find "$STATE/layers" -name '*.new')" ""
}
promise "no space at any step of a live snapshot" each_failure write_three live copies_later ENOSPC
promise "an I/O error at any step of a live snapshot" each_failure write_three live copies_later EIO

delete() {
	ctl 'delete d.img one' && ctl 'fold d.img'
}

deletes_later() {
	untouched
	none_has_failed
	! again || ! has_point one || ctl 'delete d.img one'
	ctl 'fold d.img'
	same "$(status_of d.img '.layers | length') $(points | sort | tr '\n' ' ')" "2 installed two "
	point_is two two
	same "$(which d.img two)" two
	again || is_mended
}
# shellcheck disable=SC2034 # the folded layer's file, when its record could go and it could not
lost_is_fine=yes
promise "an I/O error at any step of a delete and its fold" each_failure nothing delete deletes_later EIO
# shellcheck disable=SC2034
lost_is_fine=

clone() {
	ctl 'clone d.img c.img'
}

clones_later() {
	intact
	! again || [[ -e $MNT/c.img ]] || clone
	same "$(which c.img two)" two
	[[ -e $STATE/disks/c.img && -e $STATE/disks/d.img ]]
}
promise "no space at any step of making a clone" each_failure nothing clone clones_later ENOSPC

OUT=$WORK/out
nothing_outside() {
	rm -rf "$OUT"
	mkdir "$OUT"
}

export_it() {
	ctl "export d.img to=$OUT/e.qcow2"
}

exports_later() {
	intact
	if again && [[ ! -e $OUT/e.qcow2 ]]; then
		same "$(ls -A "$OUT")" ""
		export_it
	fi
	qemu-img compare -q -f raw -F qcow2 "$WORK/two.raw" "$OUT/e.qcow2"
	same "$(jq -r .sha256 "$OUT/e.qcow2.json")" "$(checksum "$OUT/e.qcow2")"
	again || same "$(find "$OUT" -name '.revertfs-*'; ls "$STATE/makings")" ""
}
promise "no space at any step of an export" each_failure nothing_outside export_it exports_later ENOSPC
