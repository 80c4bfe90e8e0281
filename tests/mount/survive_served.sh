#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same without passthrough: what is written passes through the daemon that is killed.
PASSTHROUGH=no
export PASSTHROUGH
# shellcheck source=tests/mount/survive.sh
. "$TESTS/mount/survive.sh"
