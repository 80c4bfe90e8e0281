#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A loss of power at any step of a fold of two commits: the disk reads the same at every moment, and the next daemon brings the fold to
# its end.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

fold_setup d.img raw 2 >/dev/null || fail "a raw image with two commits"
promise "power lost at any step of folding two layers into a raw image" each_crash nothing fold is_folded power:
