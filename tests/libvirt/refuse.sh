#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A domain whose configured disk cannot be protected does not start: `virsh start` shows one sentence that says what to
# do, nothing was changed, and once it is put right the domain starts.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
make_image raw1.img raw 8M 2
make_image data1.qcow2 qcow2 8M 3
mkdir "$WORK/elsewhere" && qemu-img create -q -f qcow2 "$WORK/elsewhere/a.qcow2" 8M
JSON=/etc/libvirt/hooks/config/web1.json
before=$(image_state web1.qcow2; image_state raw1.img; image_state data1.qcow2)
install_hook
start_host

nothing_was_changed() {
	same "$(image_state web1.qcow2; image_state raw1.img; image_state data1.qcow2)" "$before"
	same "$(status '.disks[] | "\(.name) \(.state) \(.session) \(.open)"')" ""
	domain_is web1 "shut off"
}

# does_not_start WORDS...: one sentence of revertfs's, with all these words.
does_not_start() {
	local words
	refuses virsh -q start web1
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	for words; do says "$words"; done
	nothing_was_changed
}

define_web1() {
	define_domain web1 "$(uuid_of 1)" "$@"
}
define_web1 "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT/data1.qcow2")"

not_json() {
	domain_json web1 <<<'{"disks":[{"target":"vda",}]}'
	does_not_start "'$JSON' is not valid JSON" "correct it, or remove the file (then nothing reverts, and the next start with a file puts aside what was written)"
	: >"$JSON"
	does_not_start "'$JSON' is not valid JSON"
	domain_json web1 <<<'{"disks":"vda"}'
	does_not_start "'$JSON'" '"disks"'
	domain_json web1 <<<'{"disks":[{"target":"vda","one-shot-commit":"yes"}]}'
	does_not_start "'$JSON', target 'vda': \"one-shot-commit\" must be true or false"
	domain_json web1 <<<'{"disks":[{"target":"vda","leftover":"maybe"}]}'
	does_not_start '"leftover" must be "keep" or "discard"'
}
promise "a JSON file that is not valid stops the start, with its name and what is wrong" not_json

a_link_to_nothing() {
	rm -f "$JSON"
	ln -s nowhere.json "$JSON"
	does_not_start "'$JSON' is a symbolic link to a file that is not there"
	rm "$JSON"
	mkdir "$JSON"
	does_not_start "'$JSON' is not a regular file"
	rmdir "$JSON"
}
promise "a configuration that cannot be read is not taken for none" a_link_to_nothing

an_unknown_target() {
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"sdx"}]}'
	does_not_start "'$JSON' names the target 'sdx', but the domain has no such disk: correct the target there"
}
promise "an unknown target stops the start, and the other disk is not begun" an_unknown_target

a_raw_driver() {
	define_web1 "$(disk vda "$MNT/raw1.img" raw)"
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	does_not_start "disk 'vda' has the driver type 'raw', but protected disks are served as qcow2" \
		"set type='qcow2' in its <driver> with 'virsh edit'"
}
promise "a raw driver type stops the start" a_raw_driver

outside_the_mount() {
	define_web1 "$(disk vda "$WORK/elsewhere/a.qcow2")"
	does_not_start "disk 'vda': '$WORK/elsewhere/a.qcow2' is in no revertfs mount (there is '$MNT')"
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")"
	does_not_start "disk 'vda' uses the real image '$IMAGES/web1.qcow2', which would not be protected" \
		"set its source to '$MNT/web1.qcow2' with 'virsh edit'"
	define_web1 "$(disk vda "$MNT/../mnt/web1.qcow2")"
	does_not_start "disk 'vda' needs a source that is an absolute path, without '..' and control characters"
	define_web1 "$(disk vda "$MNT/.revertfs/images/web1.qcow2")"
	does_not_start "'$MNT/.revertfs/images/web1.qcow2' is not an image"
}
promise "a path outside the mount stops the start, and a real image's with the path to use" outside_the_mount

other_kinds_of_disks() {
	define_web1 "$(DISK_MORE='<transient/>' disk vda "$MNT/web1.qcow2")"
	does_not_start "disk 'vda' is <transient/>"
	define_web1 "$(DISK_MORE="<backingStore type='file'><format type='qcow2'/><source file='$IMAGES/data1.qcow2'/></backingStore>" \
		disk vda "$MNT/web1.qcow2")"
	does_not_start "disk 'vda' has a <backingStore>, which hides what revertfs serves"
	define_web1 "$(disk vda "$MNT/web1.qcow2")" "<disk type='file' device='cdrom'><source file='$MNT/raw1.img'/>
		<target dev='hda' bus='ide'/><readonly/></disk>"
	domain_json web1 <<<'{"disks":[{"target":"hda"}]}'
	does_not_start "'hda' is a cdrom, and only disks can be protected"
	define_web1 "$(disk vda "$MNT/web1.qcow2")" "$(disk vdb "$MNT//web1.qcow2")"
	domain_json web1 <<<'{"disks":[{"target":"vda"},{"target":"vdb"}]}'
	does_not_start "the disks 'vda' and 'vdb' have the same source"
}
promise "a disk of a kind that cannot be protected stops the start" other_kinds_of_disks

what_the_daemon_refuses() {
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	define_web1 "$(disk vda "$MNT/missing.qcow2")"
	does_not_start "image 'missing.qcow2' cannot be opened: No such file or directory"
	qemu-img create -q -f qcow2 -b "$IMAGES/data1.qcow2" -F qcow2 "$IMAGES/backed.qcow2"
	define_web1 "$(disk vda "$MNT/backed.qcow2")"
	does_not_start "image 'backed.qcow2' has a backing file"
	qemu-img create -q -f qcow2 "$IMAGES/linked.qcow2" 8M
	ln "$IMAGES/linked.qcow2" "$IMAGES/linked2.qcow2"
	define_web1 "$(disk vda "$MNT/linked.qcow2")"
	does_not_start "image 'linked.qcow2' has 2 links"
	mkdir "$IMAGES/directory"
	define_web1 "$(disk vda "$MNT/directory")"
	does_not_start "'directory' is not a regular file"
	ln -s web1.qcow2 "$IMAGES/symlink.qcow2"
	define_web1 "$(disk vda "$MNT/symlink.qcow2")"
	does_not_start "'symlink.qcow2' is or lies behind a symlink"
	define_web1 "$(disk vda "$MNT/web1.qcow2")"
	domain_json web1 <<<'{"disks":[{"target":"vda","format":"raw"}]}'
	virsh -q start web1 >&2 # the administrator's word: its qcow2 header is the guest's own data
	destroy_domain web1
	ctl "unprotect web1.qcow2"
	define_web1 "$(disk vda "$MNT/raw1.img")"
	domain_json web1 <<<'{"disks":[{"target":"vda","format":"qcow2"}]}'
	does_not_start "image 'raw1.img' is no qcow2"
}
promise "an image that is missing, has a backing file or links, or is none, stops the start" what_the_daemon_refuses

put_right_it_starts() {
	define_web1 "$(disk vda "$MNT/web1.qcow2")"
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vda 'write -P 9 0 1M'
	destroy_domain web1
	at_rest web1.qcow2
	no_session
}
promise "once it is put right, the domain starts" put_right_it_starts

no_migration_to_here() {
	same "$("$HOOK_DIR/revertfs" web1 migrate begin - <"$LV/define.xml" 2>&1)" \
		"revertfs: a domain with protected disks cannot be migrated: shut it down and start it on the other host, or remove '$JSON' there"
	refuses "$HOOK_DIR/revertfs" web1 migrate begin - <"$LV/define.xml"
}
promise "a migration to here is refused" no_migration_to_here
