#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As model.sh, and the daemon is killed at random steps of what it was told, under a keeper: who told it is answered all the same,
# once, and every disk, snapshot and export reads what the model says, which knows of no kills (tests/model/strikes.c).
# Besides one long run there are RUNS short ones, of the seeds from SEED on: `make check-slow` plays a thousand.
#
#	make check T=mount/model_crash SEED=17 STEPS=300 RUNS=0
#	make check T=mount/model_crash SEED=1 STEPS=0 RUNS=100
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

SEED=${SEED:-$RANDOM} STEPS=${STEPS:-1500} RUNS=${RUNS:-5}
export FAULT_PLAN=$WORK/plan

as_the_model_says() {
	"$BUILD/tools/model" "$REVERTFS_FAULTS" "$WORK" "$SEED" "$STEPS" "${SECONDS_MAX:-$((45 * SLOW))}"
}
promise "up to $STEPS random verbs and writes, with kills in between, do what the model says, SEED=$SEED" as_the_model_says

so_do_short_runs() {
	local seed
	for ((seed = SEED; seed < SEED + RUNS; seed++)); do
		"$BUILD/tools/model" "$REVERTFS_FAULTS" "$WORK" "$seed" 100 "$((60 * SLOW))"
		umount /proc/sys/kernel/random/boot_id
	done
}
promise "so do $RUNS runs of 100 steps, from SEED=$SEED on" so_do_short_runs
