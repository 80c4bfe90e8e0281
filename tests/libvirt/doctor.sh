#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# doctor finds nothing on a host that is well, and each thing that is broken, with what to do about it, in words, in JSON
# and in the exit status that monitoring looks at.
. "$TESTS/libvirt/lib.sh"

CONFIG=/etc/libvirt/hooks/config
make_image web1.qcow2 qcow2 8M 0x11
start_host -o protect=web1.qcow2
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
domain_json web1 <<<'{ "disks": [ { "target": "vda", "one-shot-commit": false } ] }'

# doctor STATUS: its findings in $WORK/found.
doctor() {
	local status=0
	"$REVERTCTL" doctor --json >"$WORK/found" || status=$?
	same "$status" "$1" || { jq -r '.findings[] | select(.level != "fine") | "\(.level) \(.check) \(.what)"' "$WORK/found" >&2; return 1; }
}

# found LEVEL CHECK WORDS FIX: there is such a finding.
found() {
	jq -e --arg l "$1" --arg c "$2" --arg w "$3" --arg f "$4" \
		'any(.findings[]; .level == $l and .check == $c and (.what | contains($w)) and (.fix | contains($f)))' "$WORK/found" >&2 ||
		{ jq -c '.findings[] | select(.level != "fine")' "$WORK/found" >&2; return 1; }
}

well() {
	doctor 0
	jq -e '.ok and .problems == 0 and .warnings == 0' "$WORK/found"
	"$REVERTCTL" doctor >"$WORK/text"
	tail -n 1 "$WORK/text" | grep -qx "0 problems, 0 warnings"
	grep -qE '^fine +hook' "$WORK/text"
	! grep -q $'\033' "$WORK/text"
}
promise "a host that is well has no findings" well

hook() {
	chmod 644 "$HOOK_DIR/revertfs"
	doctor 2
	found problem hook "is not executable" "chmod 755"
	mv "$HOOK_DIR/revertfs" "$WORK/hook"
	doctor 2
	found problem hook "cannot be found" "make install"
	mv "$WORK/hook" "$HOOK_DIR/revertfs"
	chmod 755 "$HOOK_DIR/revertfs"
	doctor 1
	found warning hook "was started before the hook" "restart libvirtd"
	# That it is called is proof enough.
	start_domain web1
	destroy_domain web1
	doctor 0
}
promise "a hook that is missing, not executable or not seen is found" hook

files() {
	domain_json web1 <<<'{ "disks": [ { "target": "vdx" } ] }'
	doctor 2
	found problem files "domain 'web1' would not start" "correct the target there"
	domain_json web1 <<<'{ "disks": [ }'
	doctor 2
	found problem files "is not valid JSON" "correct it"
	domain_json web1 <<<'{ "disks": [ { "target": "vda" } ] }'
	domain_json gone <<<'{ "disks": [ { "target": "vda" } ] }'
	doctor 1
	found warning files "gone.json' is for a domain that libvirt does not have" "remove the file"
	rm "$CONFIG/gone.json"
}
promise "a domain's file that is wrong, or nobody's, is found" files

domains() {
	define_domain web2 "$(uuid_of 2)" "$(disk vda "$IMAGES/web1.qcow2")"
	doctor 2
	found problem domains "domain 'web2' has the real image '$IMAGES/web1.qcow2' as its disk 'vda'" "revertctl adopt web2 --target vda"
	define_domain web2 "$(uuid_of 2)" "$(disk vda "$MNT/web1.qcow2")"
	doctor 1
	found warning domains "nothing reverts it" "revertctl adopt web2"
	virsh -q undefine web2 >&2
}
promise "a domain that goes past the mount, or is not reverted, is found" domains

is_later_than() {
	((EPOCHSECONDS > $1))
}

# As a build that let it be adopted left it: the snapshot names the real image.
snapshots() {
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$IMAGES/web1.qcow2")"
	virsh -q snapshot-create-as web1 before >&2
	define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
	doctor 2
	found problem domains "the snapshot 'before' that libvirt has of domain 'web1' is from before that was adopted" "'virsh snapshot-delete web1 before --metadata'"
	virsh -q snapshot-delete web1 before --metadata >&2
	start_domain web1
	virsh -q snapshot-create-as web1 within >&2
	doctor 0
	destroy_domain web1
	doctor 1
	found warning domains "libvirt has snapshots of domain 'web1' ('within'), which were gone when the disks reverted" "'virsh snapshot-delete web1 within --metadata'"
	# It is from before this session, which is told by the second.
	wait_until 10 is_later_than "$(virsh snapshot-dumpxml web1 within | sed -n 's|.*<creationTime>\(.*\)<.*|\1|p')"
	start_domain web1
	doctor 1
	found warning domains "the snapshot 'within' that libvirt has of domain 'web1' is from before its session" "'virsh snapshot-delete web1 within --metadata'"
	found warning domains "a 'virsh snapshot-revert' to it stops the guest that runs, and fails" "'revertctl snapshot' makes one that stays"
	virsh -q snapshot-delete web1 within --metadata >&2
	destroy_domain web1
	ctl "delete web1.qcow2 $(points web1.qcow2)"
	wait_until 10 at_rest web1.qcow2
	doctor 0
}
promise "snapshots that libvirt has of a domain whose disks revert are found" snapshots

what_stands_on_them() {
	local chain
	for chain in "$IMAGES/web1.qcow2|the real image '$IMAGES/web1.qcow2', which commits change under it" "$MNT/web1.qcow2|'$MNT/web1.qcow2', which reverts under it"; do
		define_domain web2 "$(uuid_of 2)" "$(DISK_MORE="<backingStore type='file'><format type='qcow2'/><source file='${chain%%|*}'/></backingStore>" \
			disk vda "$WORK/overlay.qcow2")"
		doctor 2
		found problem domains "the disk 'vda' of domain 'web2' stands on ${chain#*|}" "a clone"
	done
	domain_json web2 <<<'{ "disks": [ { "target": "vda" } ] }'
	doctor 2
	found problem files "domain 'web2' would not start: disk 'vda': its source '$WORK/overlay.qcow2' is an external snapshot that was left behind, on '$MNT/web1.qcow2'" \
		"set the source back to that and remove <backingStore> with 'virsh edit web2'"
	rm "$CONFIG/web2.json"
	virsh -q undefine web2 >&2
	doctor 0
}
promise "a disk that stands on one that reverts is found" what_stands_on_them

disks_and_layers() {
	guest_write web1.qcow2 0 64k 0x22
	ctl "snapshot web1.qcow2 crash-20260101T000000Z"
	doctor 0
	found note layers "'crash-20260101T000000Z'" "revertctl delete web1.qcow2 crash-20260101T000000Z"
	ctl "delete web1.qcow2 crash-20260101T000000Z"
	wait_until 20 job_is_done web1.qcow2
	: >"$STATE/lost/something"
	doctor 1
	found warning layers "1 files in '$STATE/lost': layers and scratches that were given up" "when they are not needed"
	rm "$STATE/lost/something"
	ctl_fails ENOENT "delete web1.qcow2 no-such-point"
	doctor 1
	found warning disks "no-such-point" "clears"
	ctl "reset web1.qcow2"
}
promise "layers that nobody needs, and disks with errors, are found" disks_and_layers

# mount/check.sh has each reason.
what_prepare_would_refuse() {
	ctl 'set web1.qcow2 keep-revisions=3'
	guest_write web1.qcow2 0 64k 0x23
	ctl 'commit web1.qcow2'
	touch "$IMAGES/web1.qcow2"
	doctor 2
	found problem files "domain 'web1' would not start: disk 'web1.qcow2': its image was changed outside revertfs" "set web1.qcow2 image=unchanged"
	refuses start_domain web1
	ctl 'set web1.qcow2 image=unchanged'
	ctl 'reset web1.qcow2'
	doctor 0
	start_domain web1
	mv "$IMAGES/web1.qcow2" "$WORK/away"
	doctor 0 # it runs, so that is no matter before its next start
	destroy_domain web1
	doctor 2
	found problem files "domain 'web1' would not start" "No such file"
	mv "$WORK/away" "$IMAGES/web1.qcow2"
	ctl 'reset web1.qcow2'
	ctl 'set web1.qcow2 keep-revisions=0'
	ctl 'fold web1.qcow2'
	doctor 0
}
promise "what the daemon would refuse when the domain starts is found before" what_prepare_would_refuse

rights() {
	chmod 755 "$STATE"
	chmod 666 "$CONFIG/web1.json"
	chmod 700 "$WORK"
	doctor 1
	found warning rights "state directory '$STATE' is open to others" "chmod 700"
	found warning rights "web1.json' may be written by others" "chmod go-w"
	found warning rights "may not walk through '$WORK'" "chmod o+x"
	chmod 700 "$STATE"
	chmod 644 "$CONFIG/web1.json"
	chmod 755 "$WORK"
	doctor 0
}
promise "rights that are too wide or too narrow are found" rights

policy() {
	[[ -d /sys/kernel/security && -d /sys/module ]]
	mount -t tmpfs none /sys/module
	mount -t tmpfs none /sys/kernel/security
	mkdir -p /sys/module/apparmor/parameters /sys/kernel/security/apparmor
	echo Y >/sys/module/apparmor/parameters/enabled
	echo "virt-aa-helper (enforce)" >/sys/kernel/security/apparmor/profiles
	doctor 0 # the private libvirt has no security driver
	sed -i '/security_driver/d' /etc/libvirt/qemu.conf
	doctor 1
	found warning policy "AppArmor confines" "\"$MNT/**\" rwk,"
	umount /sys/module /sys/kernel/security
	mount -t tmpfs none /sys/fs
	mkdir -p /sys/fs/selinux
	echo 1 >/sys/fs/selinux/enforce
	doctor 1
	found warning policy "SELinux is enforcing" "virt_use_fusefs"
	umount /sys/fs
}
promise "AppArmor and SELinux in the way are found" policy

space() {
	stop_daemon
	small_filesystem "$WORK/small" 64M
	cp "$IMAGES/web1.qcow2" "$WORK/small/"
	IMAGES=$WORK/small STATE=$WORK/small-state start_daemon
	fallocate -l "$(($(stat -f -c '%a*%S' "$WORK/small") * 92 / 100))" "$WORK/small/ballast"
	doctor 1
	found warning space "'$WORK/small' fills up" "make room"
	fallocate -l "$(($(stat -f -c '%a*%S' "$WORK/small") * 80 / 100))" "$WORK/small/more"
	doctor 2
	found problem space "'$WORK/small' is nearly full" "make room"
}
promise "a filesystem that fills up is found" space

nobody_there() {
	kill -STOP "$(daemon_pid)"
	"$REVERTCTL" doctor --json >"$WORK/found" & # 30 s until it is given up
	wait_until 60 process_is_gone $!
	kill -CONT "$(daemon_pid)"
	found problem mount "did not answer within" "restart"
	stop_daemon
	doctor 2
	found problem mount "no revertfs is mounted" "start the revertfs service"
	stop_libvirt
	doctor 2
	found warning libvirt "" "start libvirtd"
}
promise "a daemon that hangs, none at all, and no libvirt are found" nobody_there
