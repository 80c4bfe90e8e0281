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

named() {
	refuses virsh -q start web1
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	says "disk 'vda': its source '$1' is an external snapshot that was left behind, on '$MNT/web1.qcow2'"
	says "set the source back to that and remove <backingStore> with 'virsh edit web1'"
	"$REVERTCTL" doctor --json >"$WORK/found" || same "$?" 2
	jq -e --arg w "would not start: disk 'vda': its source '$1' is an external snapshot that was left behind, on '$MNT/web1.qcow2'" \
		'any(.findings[]; .level == "problem" and (.what | contains($w)))' "$WORK/found" >&2
	cp "$WORK/refusal" "$WORK/at-start"
	refuses revertctl adopt web1
	same "$(sed 's/.*\(disk .vda.: its source\)/\1/' "$WORK/refusal")" "$(sed -n "s/.*\(disk 'vda': its source\)/\1/p" "$WORK/at-start")"
	same "$(status_of web1.qcow2 .kept)" undecided
	same "$(image_state web1.qcow2)" "$before"
}

# 'virsh edit', with an administrator who does what the sentence says.
edit_source() {
	cat >"$WORK/editor" <<-END
		#!/bin/bash
		sed -i -e "/^      <backingStore/,/^      <.backingStore>/d" -e "s|<source file=.*|<source file='$MNT/web1.qcow2'/>|" "\$1"
	END
	chmod +x "$WORK/editor"
	VISUAL=$WORK/editor typed "$WORK/refusal" 'virsh edit'
}

# The file reads other bytes by the disk's name now, which was said; as it is told, it reads what it did.
reads_on() {
	hook_log_says "warning: disk 'web1.qcow2': the external snapshot '$MNT/web1.backup', which stands on it, reads other bytes from now on"
	status_of web1.qcow2 '.layers[].note' | grep -qxF "'$MNT/web1.backup' stands on this"
	qemu_io -r -f qcow2 -c 'read -q -P 1 1M 64k' "$MNT/web1.backup"
	typed "$HOOK_LOG" 'qemu-img rebase'
	qemu_io -r -f qcow2 -c 'read -q -P 7 1M 64k' -c 'read -q -P 8 2M 64k' -c 'read -q -P 1 3M 5M' "$MNT/web1.backup"
}

dropped() {
	left_snapshot
	named "$MNT/web1.backup"
	edit_source
	starts_with web1 vda 0 8M 1
	reads_on
	rm "$MNT/web1.backup"
	# What the session wrote before the snapshot was its backing file's: kept aside.
	point_reads web1.qcow2 uncommitted 1M 64k 7
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	same "$(image_state web1.qcow2)" "$before"
}
promise "the way that drops a left snapshot: the disk reverts as ever" dropped

# The content from then on, once the session has ended.
is_kept() {
	wait_until 20 job_is_done web1.qcow2
	wait_until 10 at_rest web1.qcow2
	image_reads web1.qcow2 qcow2 1M 64k 7
	image_reads web1.qcow2 qcow2 2M 64k 8
	starts_with web1 vda 2M 64k 8
}

# A new image, as it was in the beginning.
anew() {
	virsh -q undefine web1 >&2
	ctl "unprotect web1.qcow2"
	rm "$IMAGES/web1.qcow2"
	make_image web1.qcow2 qcow2 8M 1
}

kept_from_outside() {
	install -d -o libvirt-qemu "$WORK/outside"
	left_snapshot --diskspec "vda,file=$WORK/outside/s1"
	named "$WORK/outside/s1"
	typed "$WORK/refusal" 'qemu-img'
	typed "$WORK/refusal" 'revertctl'
	edit_source
	start_domain web1
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
	guest_io web1 vda 'read -P 1 3M 5M'
	guest_io web1 vda 'write -P 9 0 8M'
	destroy_domain web1
	is_kept
}
promise "the way that keeps what a left snapshot outside the mount has: it is the disk's content from then on" kept_from_outside

# Without the <backingStore>, with the source as it is.
edit_chain() {
	virsh dumpxml --inactive web1 | sed '/^      <backingStore/,/^      <.backingStore>/d' >"$WORK/chain.xml"
	virsh -q define "$WORK/chain.xml" >&2
}

reads_all() {
	guest_io web1 vda 'read -P 7 1M 64k'
	guest_io web1 vda 'read -P 8 2M 64k'
	guest_io web1 vda 'read -P 1 3M 4M'
}

goes_on() {
	anew
	before=$(image_state web1.qcow2)
	left_snapshot
	named "$MNT/web1.backup"
	edit_chain
	# Each end leaves it undecided, also a crash of the host, and the domain goes on with it.
	start_domain web1
	hook_log_says "web1: prepare: vda 'web1.qcow2': continued"
	reads_all
	guest_io web1 vda 'write -P 9 7M 64k'
	guest_io web1 vda 'flush'
	destroy_domain web1
	same "$(status_of web1.qcow2 .kept)" undecided
	start_domain web1
	crash_host
	restart_daemon && start_libvirt
	start_domain web1
	reads_all
	guest_io web1 vda 'read -P 9 7M 64k'
	same "$(image_state web1.qcow2)" "$before"
}
promise "a domain that is started on a left snapshot goes on with it, and with what it stands on" goes_on

committed_back() {
	typed "$WORK/refusal" 'revertctl'
	typed "$WORK/refusal" 'virsh blockcommit'
	virsh dumpxml web1 | grep -q "<source file='$MNT/web1.qcow2'"
	reads_all
	shutdown_domain web1
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': committed"
	rm "$MNT/web1.backup"
	is_kept
	image_reads web1.qcow2 qcow2 7M 64k 9
}
promise "the way that keeps what a left snapshot has: it is the disk's content from then on" committed_back

committed_back_and_reverted() {
	anew
	before=$(image_state web1.qcow2)
	left_snapshot
	edit_chain
	start_domain web1
	refuses virsh -q blockcommit web1 vda --active --pivot
	status_of web1.qcow2 .last_error >"$WORK/last"
	typed "$WORK/last" 'virsh blockcommit'
	destroy_domain web1
	rm "$MNT/web1.backup"
	at_rest web1.qcow2
	starts_with web1 vda 0 8M 1
	same "$(image_state web1.qcow2)" "$before"
}
promise "... and without commit-once the disk reverts when that session ends" committed_back_and_reverted

# Three in a row; and by hand back to one between.
stacked() {
	anew
	before=$(image_state web1.qcow2)
	echo '{"disks":[{"target":"vda"}]}' >"$JSON"
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	start_domain web1
	virsh -q snapshot-create-as web1 e1 --disk-only --no-metadata >&2
	guest_io web1 vda 'write -P 7 1M 64k'
	virsh -q snapshot-create-as web1 e2 --disk-only --no-metadata >&2
	guest_io web1 vda 'write -P 8 2M 64k'
	virsh -q snapshot-create-as web1 e3 --disk-only --no-metadata >&2
	guest_io web1 vda 'write -P 9 4M 64k'
	shutdown_domain web1
	named "$MNT/web1.e3"
	virsh dumpxml --inactive web1 | sed "s|<source file='$MNT/web1.e3'/>|<source file='$MNT/web1.e2'/>|" >"$WORK/back.xml"
	virsh -q define "$WORK/back.xml" >&2
	edit_chain
	start_domain web1
	reads_all
	typed "$WORK/at-start" 'revertctl'
	typed "$WORK/at-start" 'virsh blockcommit'
	reads_all
	shutdown_domain web1
	hook_log_says "web1: release (shutdown): vda 'web1.qcow2': committed"
	rm "$MNT"/web1.e[123]
	is_kept
}
promise "several snapshots on one another, and the way back to one between" stacked

taken_while_off() {
	virsh -q snapshot-create-as web1 e4 --disk-only --no-metadata >&2
	edit_chain
	start_domain web1
	hook_log_says "warning: disk 'web1.qcow2': domain 'web1' goes on with the external snapshot 'web1.e4' that was left on it"
	typed "$HOOK_LOG" 'virsh blockcommit'
	virsh dumpxml web1 | grep -q "<source file='$MNT/web1.qcow2'"
	destroy_domain web1
	hook_log_says "web1: release (destroyed): vda 'web1.qcow2': reset"
	rm "$MNT/web1.e4"
}
promise "a snapshot that was taken of a domain that is off is gone on with, and taken back" taken_while_off

# too_late WORDS: the domain does not start, and one sentence says why.
too_late() {
	refuses virsh -q start web1
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	says "revertfs: 'web1.backup' is an external snapshot that was left on the disk 'web1.qcow2', which was reset or started since"
	says "set the domain's source back to '$MNT/web1.qcow2' with 'virsh edit', and remove the file"
}

stale() {
	left_snapshot
	edit_chain
	ctl 'reset web1.qcow2'
	too_late
	# Another snapshot was left since: not the one that the XML names.
	mv "$IMAGES/web1.backup" "$WORK/stale"
	left_snapshot
	edit_chain
	rm "$IMAGES/web1.backup"
	mv "$WORK/stale" "$IMAGES/web1.backup"
	too_late
	# Another domain's.
	virsh -q undefine web1 >&2
	define_domain web1 "$(uuid_of 2)" "$(disk vda "$MNT/web1.backup")"
	too_late
	same "$(status_of web1.qcow2 .kept)" undecided
	rm "$IMAGES/web1.backup"
	virsh -q undefine web1 >&2
	ctl 'reset web1.qcow2'
}
promise "a domain does not go on with a snapshot of what is no longer there" stale

# A file that names another one is not started on: libvirt would follow it.
rewritten() {
	echo secret >"$WORK/secret"
	left_snapshot
	edit_chain
	cp "$IMAGES/web1.backup" "$WORK/as-it-was"
	for backing in "raw $WORK/secret" "raw $MNT/web1.qcow2" "qcow2 $MNT/nothing"; do
		qemu-img rebase -u -f qcow2 -F "${backing%% *}" -b "${backing#* }" "$IMAGES/web1.backup"
		refuses virsh -q start web1
		says "revertfs: image 'web1.backup' has a backing file"
		cat "$WORK/as-it-was" >"$IMAGES/web1.backup"
	done
	start_domain web1
	destroy_domain web1
}
promise "a snapshot whose header names another file is not started on" rewritten
