#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same where the daemon that is killed reads and writes what the domain does.
PASSTHROUGH=no
export PASSTHROUGH
# shellcheck source=tests/libvirt/survive.sh
. "$TESTS/libvirt/survive.sh"
