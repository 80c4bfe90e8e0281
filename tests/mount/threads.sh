#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Verbs, sessions and file operations from nine threads at a time, while the daemon is replaced under them: each is
# answered, and all threads come to their end. Under SAN=thread this is where races between the verbs would be seen.
#
#	make check SAN=thread T=mount/threads SEED=17
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io python3

SEED=${SEED:-$RANDOM}
for name in v1 v2 v3; do make_image $name.qcow2 qcow2 4M 0x11; done
make_image r.raw raw 4M 0x22
mkdir -p "$IMAGES/d" "$WORK/out"
touch "$IMAGES"/d/f{0..3}

replace_daemons() {
	local old
	while [[ ! -e $WORK/cease ]]; do
		old=$(serving_pid) && [[ $old ]] || continue
		kill -USR1 "$(daemon_pid)" 2>/dev/null
		wait_until 60 another_serves "$old" || return
	done
}

all_come_to_an_end() {
	rm -f "$WORK/cease"
	"$1" -o protect='*.qcow2' -o protect=r.raw -o export-dirs="$WORK/out" -o qemu-timeout=60
	local status=0 replacer=
	[[ $1 == start_daemon ]] || { replace_daemons & replacer=$!; }
	python3 "$TESTS/tools/threads.py" "$WORK" "$2" "$SEED" || status=$?
	touch "$WORK/cease"
	[[ ! $replacer ]] || wait "$replacer"
	((status == 0))
	stop_daemon
}

promise "a single daemon answers all of them, SEED=$SEED" all_come_to_an_end start_daemon 6
promise "so do daemons that are replaced meanwhile, SEED=$SEED" all_come_to_an_end start_kept 6
