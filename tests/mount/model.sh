#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever is asked of the disks in whatever order, with restarts and crashes in between, each answers as documented and reads what
# a model of it says: tests/tools/model.c and tests/model/. A failure prints its seed and its last steps.
#
#	make check T=mount/model SEED=17 STEPS=300
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

SEED=${SEED:-$RANDOM} STEPS=${STEPS:-1500}

as_the_model_says() {
	"$BUILD/tools/model" "$REVERTFS" "$WORK" "$SEED" "$STEPS" "${SECONDS_MAX:-$((60 * SLOW))}"
}
promise "up to $STEPS random verbs and writes do what the model says, SEED=$SEED" as_the_model_says
