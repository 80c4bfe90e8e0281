#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A fold cut short while another layer, or a scratch with a guest's data, stands on what is being folded: that gets a new parent and
# still reads the same, and goes on with what it was for.
. "$TESTLIB"
. "$TESTS/fault/lib.sh"
. "$TESTS/fault/folds.sh"

fold_setup d.img raw >/dev/null || fail "a raw image with two commits"
promise "a crash at any step of a fold below another layer" each_crash nothing fold_lower lower_folded kill power:
promise "a crash at any step of a fold below a scratch with data" each_crash dirty fold_both dirty_folded kill power
