#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# As model.sh, and the daemon is killed at random steps of what it was told of one disk, under a keeper: who told it is answered all the same,
# once, and every disk, snapshot and export reads what the model says, which knows of no kills (tests/model/strikes.c).
#
#	make check T=mount/model_crash SEED=17 STEPS=300
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

SEED=${SEED:-$RANDOM} STEPS=${STEPS:-1500}
export FAULT_PLAN=$WORK/plan

as_the_model_says() {
	"$BUILD/tools/model" "$REVERTFS_FAULTS" "$WORK" "$SEED" "$STEPS" "${SECONDS_MAX:-$((60 * SLOW))}"
}
promise "up to $STEPS random verbs and writes, with kills in between, do what the model says, SEED=$SEED" as_the_model_says
