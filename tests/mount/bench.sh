#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The benchmarks run to their end and write their tables, as small as they go. No time is asserted.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io

export CONTENDERS="direct served default" ROUNDS=1 REQUESTS=20 COUNT=20 MIB=4 OUTPUT=$WORK/output

runs() {
	RUN_DIR=$WORK bash "$TESTS/bench/run" "$1" && [[ -s $OUTPUT/$1.tsv && -s $OUTPUT/$1.txt ]]
}

for bench in "$TESTS"/bench/*.sh; do
	grep -q '^#!' "$bench" || continue
	bench=${bench##*/}
	promise "bench/${bench%.sh} runs" runs "${bench%.sh}"
done
