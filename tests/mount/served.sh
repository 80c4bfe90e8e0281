#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the kernel does by itself where it can, the daemon does as well: the tests of files and disks once more, without
# passthrough. (The whole suite: make check PASSTHROUGH=no.)
. "$TESTLIB"
need_fuse
export PASSTHROUGH=no

for test in disk_file posix users; do
	mkdir -m 755 "$WORK/$test"
	(cd "$WORK/$test" && WORK=$WORK/$test SEEDS="5 6" exec bash "$TESTS/mount/$test.sh") ||
		not_ok "$test without passthrough comes to its end"
done
