#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of revertctl(8) that are about a domain work as they stand there, and print what stands there.
. "$TESTS/libvirt/lib.sh"
. "$TESTS/manual.bash"
need groff

# libvirt's directories are private here, and where the page has them.
here() {
	sed -E "s#/srv\b#$WORK/srv#g"
}

IMAGES=/var/lib/libvirt/images MNT=/var/lib/libvirt/revertfs
mkdir -p "$IMAGES" "$MNT" "$WORK/srv"
make_image web1.qcow2 qcow2 16M 0x11
start_host
define_domain web1 "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.qcow2")" || fail "the domain is defined"

with_a_domain() {
	sessions revertctl.8 "EXAMPLES WITH A DOMAIN"
}
promise "the examples with a domain work" with_a_domain
