#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where somebody else's export would go to is not looked at before he is known to be allowed to export there: root's
# look at a path could trigger an automount, or wait for a server that does not answer.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

make_image vm.qcow2 qcow2 1M 0x11
start_attacked -o protect=vm.qcow2

# Whoever follows a symlink whose time of access is older than its time of change renews the former (relatime).
LINK=$PRIVATE/link OPEN_LINK=$OUT/link
ln -s "$WORK" "$LINK"
ln -s "$WORK/vm" "$OPEN_LINK"
touch "$WORK/vm"

followed() {
	same "$(stat -c %X "$1")" 1000000000 2>/dev/null && return 1
	return 0
}

grow_old() {
	touch -h -a -d @1000000000 "$1"
	! followed "$1"
}

following_is_seen() {
	local link
	for link in "$LINK" "$OPEN_LINK"; do
		grow_old "$link"
		stat -L "$link"
		followed "$link"
	done
}

no_path_of_root() {
	grow_old "$LINK"
	member_ctl_fails EPERM "export vm.qcow2 to=$LINK"
	member_ctl_fails EPERM "export vm.qcow2 to=$LINK/vm"
	! followed "$LINK"
}

no_link_is_followed() {
	grow_old "$OPEN_LINK"
	member_ctl_fails EEXIST "export vm.qcow2 to=$OPEN_LINK"
	! followed "$OPEN_LINK"
}

promise "a symlink that is followed shows that" following_is_seen
promise "a path where the caller may not export is not looked at" no_path_of_root
promise "nor is a link in an export directory followed" no_link_is_followed
