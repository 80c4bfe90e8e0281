#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A real domain goes into protection and out of it in one step each; whatever stands against it is said in a sentence, and
# then nothing has changed: not the definition, not the domain's file, not what is protected, not an image.
. "$TESTS/libvirt/lib.sh"

CONFIG=/etc/libvirt/hooks/config
make_image web1.qcow2 qcow2 8M 0x11
make_image data1.img raw 8M 0x12
make_image other.qcow2 qcow2 8M 0x13
mkdir "$WORK/elsewhere" && qemu-img create -q -f qcow2 "$WORK/elsewhere/a.qcow2" 8M
start_host

revertctl() {
	"$REVERTCTL" "$@"
}

define_web1() {
	define_domain web1 "$(uuid_of 1)" "$@"
}

# All that could be changed, in one text.
everything() {
	virsh dumpxml --inactive --security-info web1
	find "$CONFIG" -type f -exec sh -c 'echo "$1"; cat "$1"' sh {} ';' | sort
	status '[.disks[] | "\(.name) \(.state) \(.head) \(.layers | length) \(.layers[0].names)"] | sort | join("\n")'
	image_state web1.qcow2
	image_state data1.img
	find "$CONFIG" "$STATE/disks" | sort
}

# refused STATUS WORDS COMMAND...: one sentence, the exit status, and nothing has changed.
refused() {
	local want=$1 words=$2 status=0
	shift 2
	everything >"$WORK/before"
	"$@" >"$WORK/said" 2>"$WORK/refusal" </dev/null || status=$?
	same "$status" "$want" || { cat "$WORK/refusal" >&2; return 1; }
	same "$(grep -c 'revertctl: ' "$WORK/refusal")" 1
	says "$words"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
}

two_disks() {
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")" "$(disk vdb "$IMAGES/data1.img" raw)"
}

# ---- what stands against it

no_such_domain() {
	two_disks
	refused 1 "nobody" revertctl adopt nobody
	refused 1 "has no disk 'vdz'" revertctl adopt web1 --target vda --target vdz
	refused 2 "wants DOMAIN" revertctl adopt
}
promise "a domain or disk that is not there is not adopted" no_such_domain

it_runs() {
	start_domain web1
	refused 4 "domain 'web1' is running: shut it down first" revertctl adopt web1
	virsh -q suspend web1 >&2
	refused 4 "domain 'web1' is paused" revertctl adopt web1
	virsh -q resume web1 >&2
	virsh -q managedsave web1 >&2
	refused 4 "domain 'web1' has a managed save" revertctl adopt web1
	typed "$WORK/refusal" 'virsh managedsave-remove'
}
promise "a domain that runs, or is saved, is not adopted" it_runs

disks_elsewhere() {
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")" "$(disk vdb "$WORK/elsewhere/a.qcow2")"
	refused 1 "disk 'vdb': '$WORK/elsewhere/a.qcow2' lies in no images directory of a revertfs (there is '$IMAGES')" revertctl adopt web1
	define_web1 "$(disk vda "$IMAGES/missing.qcow2")"
	refused 1 "missing.qcow2" revertctl adopt web1
}
promise "an image outside the images directory, or not there, is not adopted" disks_elsewhere

other_kinds() {
	define_web1 "<disk type='file' device='cdrom'><source file='$IMAGES/data1.img'/><target dev='hda' bus='ide'/><readonly/></disk>"
	refused 1 "domain 'web1' has no disk" revertctl adopt web1
	refused 1 "'hda' is a cdrom, and only disks can be protected" revertctl adopt web1 --target hda
	define_web1 "<disk type='network' device='disk'><source protocol='nbd' name='x'><host name='localhost'/></source><target dev='vda' bus='virtio'/></disk>"
	refused 1 "disk 'vda' is of type 'network'" revertctl adopt web1
	define_web1 "$(DISK_MORE='<transient/>' disk vda "$IMAGES/web1.qcow2")"
	refused 1 "disk 'vda' is <transient/>" revertctl adopt web1
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")" "$(disk vdb "$IMAGES/web1.qcow2")"
	refused 1 "have the same source" revertctl adopt web1
	define_web1 "$(disk vda "$IMAGES/web1.qcow2" vmdk)"
	refused 1 "of format 'vmdk'" revertctl adopt web1
}
promise "disks of kinds that cannot be protected are not adopted" other_kinds

misfits() {
	define_web1 "<disk type='file' device='disk'><driver name='qemu' type='raw'/>
		<source file='$IMAGES/data1.img'><encryption format='luks'><secret type='passphrase' uuid='$(uuid_of 9)'/></encryption></source>
		<target dev='vda' bus='virtio'/></disk>"
	refused 1 "disk 'vda' is decrypted by QEMU (<encryption>), and what revertfs serves is not encrypted: leave this disk out with --target" revertctl adopt web1
	define_web1 "<disk type='file' device='disk'><driver name='qemu' type='raw'/>
		<source file='$IMAGES/data1.img'><slices><slice type='storage' offset='0' size='1048576'/></slices></source>
		<target dev='vda' bus='virtio'/></disk>"
	refused 1 "disk 'vda' is a part of its file (<slices>)" revertctl adopt web1
	define_web1 "$(DISK_MORE='<shareable/>' disk vda "$IMAGES/data1.img" raw)"
	refused 1 "disk 'vda' is <shareable/>" revertctl adopt web1
}
promise "a disk that is encrypted, shared or a part of a file is not adopted" misfits

# As where /var/lib/libvirt/images is a link to a larger disk.
behind_a_link() {
	ln -s images "$WORK/link"
	define_web1 "$(disk vda "$WORK/link/web1.qcow2")"
	define_domain web2 "$(uuid_of 2)" "$(disk vda "$IMAGES/web1.qcow2")"
	refused 4 "domain 'web2' uses '$IMAGES/web1.qcow2', too" revertctl adopt web1
	virsh -q undefine web2 >&2
	revertctl adopt web1 >&2
	virsh dumpxml web1 | grep -q "file='$MNT/web1.qcow2'"
	ln -s mnt "$WORK/served"
	define_web1 "$(disk vda "$WORK/served/web1.qcow2")"
	start_domain web1
	guest_io web1 vda 'write -P 7 0 1M'
	destroy_domain web1
	at_rest web1.qcow2
	revertctl disown web1 >&2
	virsh dumpxml web1 | grep -q "file='$IMAGES/web1.qcow2'"
}
promise "a domain that names its disk through a symbolic link is adopted, reverts and is disowned" behind_a_link

# What libvirt knows of the real image's path would go past the mount.
snapshots_from_before() {
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")"
	virsh -q snapshot-create-as web1 before >&2
	virsh -q snapshot-create-as web1 'a later one' >&2
	refused 4 "libvirt has snapshots of domain 'web1' ('a later one', 'before'), and a revert to one would write the real image past the mount" revertctl adopt web1
	typed "$WORK/refusal" 'virsh snapshot-delete'
	refused 4 "libvirt has snapshots of domain 'web1' ('before')" revertctl adopt web1
	typed "$WORK/refusal" 'virsh snapshot-delete'
	same "$(qemu-img snapshot -l "$IMAGES/web1.qcow2" | grep -c 'before\|a later one')" 2
	revertctl adopt web1 >&2
	starts_with web1 vda 0 8M 0x11
	revertctl disown web1 --changes=discard >&2
	qemu-img snapshot -d before "$IMAGES/web1.qcow2"
	qemu-img snapshot -d 'a later one' "$IMAGES/web1.qcow2"
}
promise "a domain that libvirt has snapshots of is not adopted until libvirt has forgotten them, as the sentence says" snapshots_from_before

snapshot_left_behind() {
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")"
	start_domain web1
	virsh -q snapshot-create-as web1 backup --disk-only --no-metadata >&2
	destroy_domain web1
	refused 1 "disk 'vda': its source '$IMAGES/web1.backup' is an overlay on '$IMAGES/web1.qcow2'" revertctl adopt web1
	start_domain web1
	typed "$WORK/refusal" 'virsh blockcommit'
	destroy_domain web1
	revertctl adopt web1 --dry-run >&2
	rm "$IMAGES/web1.backup"
}
promise "a domain on an external snapshot that was left behind is not adopted until it was committed, as the sentence says" snapshot_left_behind

what_the_daemon_refuses() {
	qemu-img create -q -f qcow2 -b "$IMAGES/other.qcow2" -F qcow2 "$IMAGES/backed.qcow2"
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")" "$(disk vdb "$IMAGES/backed.qcow2")"
	# The first disk was protected by then, and is no longer.
	refused 1 "image 'backed.qcow2' has a backing file" revertctl adopt web1
	grep -q "disk 'web1.qcow2' is protected" "$DAEMON_LOG"
}
promise "when the daemon refuses the second disk, the first is no longer protected" what_the_daemon_refuses

shared_image() {
	two_disks
	define_domain web2 "$(uuid_of 2)" "$(disk vda "$IMAGES/web1.qcow2")"
	refused 4 "domain 'web2' uses '$IMAGES/web1.qcow2', too" revertctl adopt web1
	define_domain web2 "$(uuid_of 2)" "$(DISK_MORE="<backingStore type='file'><format type='qcow2'/><source file='$IMAGES/web1.qcow2'/></backingStore>" \
		disk vda "$WORK/elsewhere/a.qcow2")"
	refused 4 "domain 'web2' uses '$IMAGES/web1.qcow2', too, as its disk 'vda'" revertctl adopt web1
	virsh -q undefine web2 >&2
	define_web1 "$(disk vda "$IMAGES/web1.qcow2")" "$(disk vdb "$IMAGES/web1.qcow2")"
	refused 4 "domain 'web1' uses '$IMAGES/web1.qcow2', too, as its disk 'vdb'" revertctl adopt web1 --target vda
	two_disks
}
promise "an image that another domain uses, or another disk of this one, is not adopted" shared_image

bad_file() {
	domain_json web1 <<<'{"disks":[{"target":"vda",}]}'
	refused 1 "'$CONFIG/web1.json' is not valid JSON" revertctl adopt web1
	rm "$CONFIG/web1.json"
}
promise "a file of the domain that is not valid is not touched" bad_file

no_hook() {
	mv "$HOOK_DIR/revertfs" "$WORK/hook"
	refused 1 "the hook '$HOOK_DIR/revertfs' cannot be found" revertctl adopt web1
	mv "$WORK/hook" "$HOOK_DIR/revertfs"
	chmod 644 "$HOOK_DIR/revertfs"
	refused 1 "is not executable" revertctl adopt web1
	chmod 755 "$HOOK_DIR/revertfs"
	# Its time is now later than libvirt's start; the log is what proves that it is called.
	mv "$HOOK_LOG" "$WORK/hooks.log.away" 2>/dev/null || :
	refused 1 "was started before the hook" revertctl adopt web1
	stop_libvirt && start_libvirt
	revertctl adopt web1 --dry-run >&2
}
promise "without a hook that libvirt sees nothing is adopted" no_hook

steps_that_fail() {
	mount --bind "$CONFIG" "$CONFIG"
	mount -o remount,ro,bind "$CONFIG"
	refused 1 "everything is as it was" revertctl adopt web1
	umount "$CONFIG"
	mkdir "$WORK/bin"
	# A libvirt that refuses the definition; one that says yes and does nothing; one that hangs in it.
	printf '#!/bin/sh\ncase "$*" in *define*) [ -e "%s" ] || exit 0; echo "no, I will not" >&2; exit 1;; esac\nexec %s "$@"\n' \
		"$WORK/refuses" "$(command -v virsh)" >"$WORK/bin/virsh"
	chmod 755 "$WORK/bin/virsh"
	: >"$WORK/refuses"
	refused 1 "no, I will not; everything is as it was" env PATH="$WORK/bin:$PATH" "$REVERTCTL" adopt web1
	rm "$WORK/refuses"
	refused 1 "is not at '$MNT/web1.qcow2' now; everything is as it was" env PATH="$WORK/bin:$PATH" "$REVERTCTL" adopt web1
}
promise "when a step fails, those before it are taken back" steps_that_fail

no_daemon() {
	stop_daemon
	refuses revertctl adopt web1
	says "no revertfs is mounted"
	[[ ! -e $CONFIG/web1.json ]]
	# What is mounted now was not there when libvirt started, and in this test's namespace it does not see it.
	stop_libvirt
	restart_daemon
	start_libvirt
}
promise "without a daemon nothing is adopted" no_daemon

# ---- adopt, boot, disown

dry_run() {
	everything >"$WORK/before"
	revertctl adopt web1 --dry-run >"$WORK/diff"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
	grep -qE "^-.*<source file=.$IMAGES/web1.qcow2" "$WORK/diff"
	grep -qE "^\+.*<source file=.$MNT/web1.qcow2" "$WORK/diff"
	grep -qE "^-.*<driver .*type=.raw" "$WORK/diff"
	grep -qE "^\+.*\"target\": \"vdb\"" "$WORK/diff"
	same "$(grep -cE '^[-+] .*<(source|driver)' "$WORK/diff")" 6
}
promise "--dry-run shows the changes and makes none" dry_run

adopts() {
	virsh dumpxml --inactive --security-info web1 >"$WORK/original.xml"
	revertctl adopt web1 >"$WORK/said"
	grep -q "^web1: adopted" "$WORK/said"
	same "$(status '[.disks[].name] | sort | join(" ")')" "data1.img web1.qcow2"
	same "$(status_of data1.img .format)" raw
	jq -e '[.disks[].target] == ["vda", "vdb"]' "$CONFIG/web1.json"
	start_domain web1
	guest_io web1 vda 'write -P 0x22 0 1M'
	guest_io web1 vdb 'write -P 0x22 0 1M'
	shutdown_domain web1
	start_domain web1
	guest_io web1 vda 'read -P 0x11 0 8M'
	guest_io web1 vdb 'read -P 0x12 0 8M'
	destroy_domain web1
}
promise "an adopted domain boots, and its disks revert" adopts

adopt_again() {
	everything >"$WORK/before"
	revertctl adopt web1 >&2
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
}
promise "to adopt once more changes nothing" adopt_again

keeps_one_session() {
	revertctl commit-once web1 --target vda --reason "security updates" >"$WORK/said"
	jq -e '.disks[0]["one-shot-commit"] == true and .disks[1]["one-shot-commit"] == false' "$CONFIG/web1.json"
	hook_log_says "web1: one-shot-commit of vda was set to true by root: security updates"
	revertctl discard-next web1 >&2
	jq -e 'all(.disks[]; .["one-shot-commit"] == false)' "$CONFIG/web1.json"
	hook_log_says "web1: one-shot-commit of vda, vdb was set to false by root"
	revertctl commit-once web1 --target vda >&2
	start_domain web1
	guest_io web1 vda 'write -P 0x44 0 1M'
	guest_io web1 vdb 'write -P 0x44 0 1M'
	shutdown_domain web1
	jq -e '.disks[0]["one-shot-commit"] == false' "$CONFIG/web1.json"
	wait_until 20 job_is_done web1.qcow2
	image_reads web1.qcow2 qcow2 0 1M 0x44
	image_reads data1.img raw 0 1M 0x12
	refused 1 "names no target 'vdz'" revertctl commit-once web1 --target vdz
}
promise "commit-once keeps one session, discard-next takes it back, and the log says who and why" keeps_one_session

# on_a_terminal ANSWER COMMAND: what it prints there is in $WORK/said.
on_a_terminal() {
	printf '%s\n' "$1" | script -qec "$2" /dev/null >"$WORK/said"
}

disown_refused() {
	start_domain web1
	refused 4 "domain 'web1' is running" revertctl disown web1
	destroy_domain web1
	guest_write web1.qcow2 0 64k 0x55
	refused 4 "has changes that its image has not: say --changes=commit" revertctl disown web1
	refused 1 "--changes is commit or discard" revertctl disown web1 --changes=maybe
	everything >"$WORK/before"
	refuses on_a_terminal x "$REVERTCTL disown web1"
	grep -q "Commit them, discard them, or abort?" "$WORK/said"
	grep -q "nothing was changed" "$WORK/said"
	everything >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >&2
	ctl "snapshot web1.qcow2 a-point"
	refused 4 "has snapshots ('a-point')" revertctl disown web1 --changes=commit
	ctl "delete web1.qcow2 a-point"
	wait_until 20 job_is_done web1.qcow2
	ctl "clone web1.qcow2 lab.qcow2"
	refused 4 "has clones" revertctl disown web1 --changes=commit
	rm "$MNT/lab.qcow2"
	ctl "set web1.qcow2 keep-revisions=3 leftover=keep"
	guest_write data1.img 0 64k 0x56
	exec 9<>"$MNT/data1.img"
	refused 4 "the disks are protected as before" revertctl disown web1 --changes=commit
	# The second disk cannot be let go: the first is protected again.
	refuses revertctl disown web1 --changes=discard </dev/null
	says "everything is as it was"
	same "$(status_of web1.qcow2 '.properties | "\(.["keep-revisions"]) \(.leftover)"')" "3 keep"
	exec 9>&-
	same "$(grep -c "disk 'web1.qcow2' is no longer protected" "$DAEMON_LOG")" "$(($(grep -c "disk 'web1.qcow2' is protected" "$DAEMON_LOG") - 1))"
	same "$(virsh dumpxml --inactive web1 | grep -c "$MNT/")" 2
	jq -e '.disks | length == 2' "$CONFIG/web1.json"
	same "$(status '[.disks[].name] | sort | join(" ")')" "data1.img web1.qcow2"
	: >"$WORK/refuses"
	refused 1 "nothing was changed: " env PATH="$WORK/bin:$PATH" "$REVERTCTL" disown web1 --changes=commit
	rm "$WORK/refuses"
	refused 1 "; everything is as it was" env PATH="$WORK/bin:$PATH" "$REVERTCTL" disown web1 --changes=discard
}
promise "what stands against disown is said, and all stays protected" disown_refused

disowns() {
	guest_write web1.qcow2 0 64k 0x57
	revertctl disown web1 --target vdb --changes=commit >&2
	jq -e '[.disks[].target] == ["vda"]' "$CONFIG/web1.json"
	same "$(status '[.disks[].name] | join(" ")')" "web1.qcow2"
	on_a_terminal d "$REVERTCTL disown web1"
	grep -q "web1: disowned" "$WORK/said"
	[[ ! -e $CONFIG/web1.json ]]
	same "$(status '.disks | length')" 0
	diff "$WORK/original.xml" <(virsh dumpxml --inactive --security-info web1) >&2
	image_reads web1.qcow2 qcow2 0 64k 0x55
	image_reads data1.img raw 0 64k 0x56
	start_domain web1
	guest_io web1 vda 'write -P 0x66 0 64k'
	destroy_domain web1
	image_reads web1.qcow2 qcow2 0 64k 0x66
}
promise "a disowned domain is defined as it was before it was adopted, and its images have what was kept" disowns

# Where the mount lies over the images the paths stay, so that a revert finds the mount, and nothing to revert to.
over_the_images() {
	stop_daemon
	stop_libvirt
	IMAGES=$WORK/over MNT=$WORK/over STATE=$WORK/over-state
	mkdir "$WORK/over" "$WORK/beneath"
	mount --bind "$WORK/over" "$WORK/beneath"
	make_image web3.qcow2 qcow2 8M 1
	start_daemon
	start_libvirt
	define_domain web3 "$(uuid_of 3)" "$(disk vda "$MNT/web3.qcow2")"
	virsh -q snapshot-create-as web3 before >&2
	revertctl adopt web3 >"$WORK/said"
	grep -qF "libvirt has snapshots of it ('before'), which are not in what is served: a revert to one fails." "$WORK/said"
	ctl 'set web3.qcow2 keep-revisions=1' # no fold
	guest_write web3.qcow2 1M 64k 7
	ctl 'snapshot web3.qcow2 mine'
	sha256sum "$WORK/beneath/web3.qcow2" >"$WORK/sum"
	refuses virsh -q snapshot-revert web3 before
	sha256sum -c "$WORK/sum" >&2
	typed "$WORK/said" 'virsh snapshot-delete'
	starts_with web3 vda 1M 64k 7
	sha256sum -c "$WORK/sum" >&2
	start_domain web3
	virsh dumpxml web3 | grep backing_file
	destroy_domain web3
}
promise "where the mount lies over the images, adopt warns of snapshots, and a revert to one hurts nothing" over_the_images
