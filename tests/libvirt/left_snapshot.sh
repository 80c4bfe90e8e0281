#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A backup that failed left an external snapshot behind: the domain does not start as if it were protected, the sentence
# names the snapshot's file and the disk that it stands on, and both ways back that it names work as they are typed.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
before=$(image_state web1.qcow2)
JSON=/etc/libvirt/hooks/config/web1.json
start_host
export PATH=$WORK/bin:$PATH
mkdir "$WORK/bin" && ln -s "$REVERTCTL" "$WORK/bin/revertctl"

# What the domain wrote before a backup made its snapshot, and after.
left_snapshot() {
	echo '{"disks":[{"target":"vda"}]}' >"$JSON"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 backup --disk-only --no-metadata "$@" >&2
	guest_io web1 vda 'write -P 8 2M 64k'
	guest_io web1 vda 'flush'
	shutdown_domain web1
	same "$(status_of web1.qcow2 .kept)" undecided
}

# The sentence's N-th command that begins so, as it stands there.
command_of() {
	grep -o "'$1[^']*'" "$WORK/refusal" | sed "$2!d" | tr -d "'"
}

named() {
	refuses virsh -q start web1
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	says "disk 'vda': its source '$1' is an external snapshot that was left behind, on '$MNT/web1.qcow2'"
	says "set the source back to that and remove <backingStore> with 'virsh edit web1'"
	same "$(status_of web1.qcow2 .kept)" undecided
	same "$(image_state web1.qcow2)" "$before"
}

# 'virsh edit', with an administrator who does what the sentence says.
edit_source() {
	cat >"$WORK/editor" <<-END
		#!/bin/bash
		sed -i -e "/<backingStore/,/<.backingStore>/d" -e "s|<source file=.*|<source file='$MNT/web1.qcow2'/>|" "\$1"
	END
	chmod +x "$WORK/editor"
	VISUAL=$WORK/editor $(command_of 'virsh edit' 1) >&2
}

dropped() {
	left_snapshot
	named "$MNT/web1.backup"
	edit_source
	starts_with web1 vda 0 8M 1
	rm "$MNT/web1.backup"
	# What the session wrote before the snapshot was its backing file's: kept aside.
	point_reads web1.qcow2 uncommitted 1M 64k 7
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	same "$(image_state web1.qcow2)" "$before"
}
promise "the way that drops a left snapshot: the disk reverts as ever" dropped

outside() {
	install -d -o libvirt-qemu "$WORK/outside"
	left_snapshot --diskspec "vda,file=$WORK/outside/s1"
	named "$WORK/outside/s1"
	edit_source
	starts_with web1 vda 0 8M 1
	rm "$WORK/outside/s1"
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
}
promise "a snapshot whose file lies outside the mount is named, too" outside

kept() {
	left_snapshot
	named "$MNT/web1.backup"
	$(command_of 'qemu-img' 1) >&2
	$(command_of 'revertctl' 1) >&2
	edit_source
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
	guest_io web1 vda 'read -P 1 3M 5M'
	guest_io web1 vda 'write -P 9 0 8M'
	destroy_domain web1
	rm "$MNT/web1.backup"
	wait_until 20 job_is_done web1.qcow2
	wait_until 10 at_rest web1.qcow2
	image_reads web1.qcow2 qcow2 1M 64k 7
	image_reads web1.qcow2 qcow2 2M 64k 8
	starts_with web1 vda 2M 64k 8
}
promise "the way that keeps what a left snapshot has: it is the disk's content from then on" kept
