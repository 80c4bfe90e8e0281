#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A host on which a hook renames images goes over to revertfs by the README's own lines, after a crash: no XML and no JSON file
# is changed, what the crash has left is thrown away or kept as they say, and the domains revert and commit.
# shellcheck source=tests/libvirt/lib.sh
. "$TESTS/libvirt/lib.sh"
# shellcheck source=tests/libvirt/readme.bash
. "$TESTS/libvirt/readme.bash"
blocks_of "Coming from a renaming hook"
# shellcheck disable=SC2034 # for lib.sh
MNT=$IMAGES
CONFIG=/etc/libvirt/hooks/config/win1.json

mkdir -p "$IMAGES"
make_image win1.img raw 8M 0x11
image=$(checksum "$IMAGES/win1.img")
install -m 755 "$TESTS/libvirt/renaming-hook" /etc/libvirt/hooks/qemu
start_libvirt || fail "libvirtd starts"

# The definition, and the file, as they were before.
xml_and_json() {
	virsh dumpxml --inactive win1
	cat "$CONFIG"
}

crash_leaves_it() {
	define_domain win1 "$(uuid_of 1)" "$(disk vda "$IMAGES/win1.img")"
	domain_json win1 <<<'{"disks":[{"target": "vda",   "one-shot-commit": false}]}'
	xml_and_json >"$WORK/before"
	start_domain win1
	guest_io win1 vda 'write -P 0x22 0 1M'
	guest_io win1 vda flush
	cp --sparse=always "$IMAGES"/win1.img* "$WORK"
	crash_host same-boot || return
	same "$(paste 1 | grep -c 'win1.img.backing_file')" 1
	same "$(checksum "$IMAGES/win1.img.backing_file")" "$image"
}
promise "a crash leaves the overlay in the image's place, and the first line shows it" crash_leaves_it

kept() {
	paste 2
	paste 3
	image_reads win1.img raw 0 1M 0x22
	image_reads win1.img raw 1M 7M 0x11
	cp "$WORK"/win1.img* "$IMAGES"
}
promise "its session is kept by the next two lines" kept

thrown_away() {
	paste 3
	same "$(checksum "$IMAGES/win1.img")" "$image"
	refuses paste 1
}
promise "or thrown away by the second of them alone" thrown_away

goes_over() {
	start_libvirt
	paste 4
	[[ ! -e /etc/libvirt/hooks/qemu && -x $HOOK_DIR/revertfs ]]
	refuses paste 5
	PATH=$(dirname "$REVERTCTL"):$PATH paste 6 >"$WORK/status.log"
	grep -q '^win1.img .* win1 ' "$WORK/status.log"
	guest_io win1 vda 'read -P 0x11 0 8M'
	guest_io win1 vda 'write -P 0x33 0 1M'
	shutdown_domain win1
	xml_and_json | diff "$WORK/before" - >&2
}
promise "the host goes over, with its XML and JSON as they were" goes_over

reverts_and_commits() {
	"$REVERTCTL" doctor hook >&2
	sed -i 's/false/true/' "$CONFIG"
	paste 5 | grep -q "win1.json"
	start_domain win1
	guest_io win1 vda 'read -P 0x11 0 8M'
	guest_io win1 vda 'write -P 0x44 0 1M'
	shutdown_domain win1
	xml_and_json | diff "$WORK/before" - >&2
	starts_with win1 vda 0 1M 0x44
}
promise "the domain reverts, and one-shot-commit keeps one session" reverts_and_commits
