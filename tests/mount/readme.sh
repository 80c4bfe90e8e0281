#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the README lets a newcomer paste works as it stands there.
. "$TESTLIB"
need_fuse
need qemu-img qemu-io

# Only its directory is another, and the build is where the README has it.
mkdir "$WORK/tree"
ln -s "$BUILD" "$WORK/tree/build"

session_works() {
	sed -n '/^## By hand/,/^## How/p' "$(dirname "$TESTS")/README.md" | awk '/^```/ { on = !on; next } on' |
		sed "s|/tmp/r\b|$WORK/r|g" >"$WORK/session"
	grep -q "$WORK/r/images" "$WORK/session"
	cd "$WORK/tree" || return
	bash -e "$WORK/session" >"$WORK/session.log" 2>&1 || { cat "$WORK/session.log" >&2; return 1; }
	grep -q '^vm1.qcow2 *dirty ' "$WORK/session.log"
	[[ ! -e $WORK/r ]]
}
promise "the session by hand works as pasted, and takes itself down" session_works
