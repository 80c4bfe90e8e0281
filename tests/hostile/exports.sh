#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Members of the control group who export as slowly as they may, and as much, keep neither folds nor root's exports from
# running, and have no more queued than their share.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

OTHER=64004 # another member
head -c 48M /dev/urandom >"$WORK/random"
for disk in a b c d; do
	cp "$WORK/random" "$IMAGES/$disk.img"
done
make_image vm.qcow2 qcow2 16M 1
start_attacked -o protect="*.img" -o protect=vm.qcow2

as_another_member() {
	MEMBER=$OTHER member_ctl "$1"
}

job_runs() {
	same "$(status_of "$1" '.job.state')" running
}

# The member's two, and another member's, each on a disk of its own.
slow_exports() {
	member_ctl "export a.img to=$OUT/a rate=1M wait=no"
	member_ctl "export b.img to=$OUT/b rate=1M wait=no"
	as_another_member "export c.img to=$OUT/c rate=1M wait=no"
	wait_until 10 job_runs a.img
	wait_until 10 job_runs c.img
}
promise "members may export slowly" slow_exports

of_one_half_run() {
	same "$(status_of b.img '.jobs[0].state')" waiting
}
promise "of one member's exports half run at most, so that another's run too" of_one_half_run

a_fold_runs() {
	guest_write vm.qcow2 1M 64k 2
	ctl "commit vm.qcow2"
	wait_until 10 job_is_done vm.qcow2
	same "$(status_of vm.qcow2 '.layers | length')" 1
	job_runs a.img
}
promise "a fold runs meanwhile" a_fold_runs

roots_export_runs() {
	ctl "export vm.qcow2 to=$OUT/root"
	job_runs a.img
	job_runs c.img
}
promise "... and root's export" roots_export_runs

no_more_than_a_share() {
	local i
	for ((i = 2; i < 16; i++)); do
		member_ctl "export d.img to=$OUT/d$i rate=1M wait=no" >&2
	done
	member_ctl_fails EAGAIN "export d.img to=$OUT/d16 rate=1M wait=no" "as many as one may have"
	as_another_member "export d.img to=$OUT/e rate=1M wait=no"
	ctl "export d.img to=$OUT/f wait=no"
}
promise "a member has 16 queued at most; others and root may still ask" no_more_than_a_share

as_slow_as_one_may() {
	member_ctl_fails EINVAL "export d.img to=$OUT/g rate=1" "1M"
	member_ctl_fails EINVAL "clone d.img g.img full=yes rate=1000K" "1M"
}
promise "a rate has a floor" as_slow_as_one_may

a_share_comes_back() {
	local disk
	for disk in a b c d; do
		ctl "cancel $disk.img" >&2
	done
	member_ctl "export vm.qcow2 to=$OUT/last"
}
promise "what was cancelled counts no more" a_share_comes_back
