#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold cut short at any step: the disk reads the same at every moment, what was written on top of it included, and the next
# daemon takes the fold up by itself and brings it to its end.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"

. "$TESTS/fault/folds.sh"

fold_setup d.img raw >/dev/null || fail "a raw image with two commits"
promise "SIGKILL at any step of folding two layers into a raw image" each_crash nothing fold_both both_folded kill
promise "power lost at any step of folding two layers into a raw image" each_crash nothing fold_both both_folded power:
