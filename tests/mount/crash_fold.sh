#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold of two commits killed at any step: the disk reads the same at every moment, the upper layer gets a new parent when the lower one
# has gone, and the next daemon takes the fold up by itself and brings it to its end.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

fold_setup d.img raw 2 >/dev/null || fail "a raw image with two commits"
promise "SIGKILL at any step of folding two layers into a raw image" each_crash nothing fold is_folded kill
