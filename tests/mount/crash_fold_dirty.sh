#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold cut short below a scratch with a guest's data: that gets a new parent, still reads the same, and can be committed.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

fold_setup d.img raw 1 >/dev/null || fail "a raw image with a commit"
promise "a crash at any step of a fold below a scratch with data" each_crash dirty fold dirty_folded kill power
