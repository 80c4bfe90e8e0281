#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever a domain or an image is called, wherever the disk is (a storage pool, another mount, a directory below), its
# disk reverts, and nobody else's.
. "$TESTS/libvirt/lib.sh"

# A second mount, with a blank, a quote and UTF-8 in its path.
OTHER="$WORK/the other's é"
mkdir -p "$OTHER/images" "$OTHER/mnt"
install_hook
start_daemon || fail "the daemon starts"
run_in_background other-daemon "$REVERTFS" -f -o "state=$OTHER/state" "$OTHER/images" "$OTHER/mnt"
wait_until 20 test -e "$OTHER/mnt/.revertfs/control" || fail "the other daemon starts"
start_libvirt || fail "libvirtd starts"

other_status() {
	jq -r "$1" "$OTHER/mnt/.revertfs/status.json"
}

# The first session of a disk made of 1.
writes_once() {
	guest_io "$1" "$2" 'read -P 1 0 4M'
	guest_io "$1" "$2" 'write -P 9 1M 64k'
	guest_io "$1" "$2" 'read -P 9 1M 64k'
}

# shellcheck disable=SC2016 # a shell would run it
odd_domain_names() {
	local name i=10
	for name in 'a b' "it's" '"quoted"' 'semi;colon' '$(touch x)`id`' 'é ü 漢字' '-f' '--help' '&<>' "back\\slash" '%s%n' '.hidden'; do
		i=$((i + 1))
		make_image "odd$i.qcow2" qcow2 4M 1
		define_domain "$name" "$(uuid_of "$i")" "$(disk vda "$MNT/odd$i.qcow2")"
		domain_json "$name" <<<'{"disks":[{"target":"vda"}]}'
		start_domain "$name"
		same "$(status_of "odd$i.qcow2" .session.domain)" "$name"
		writes_once "$name" vda
		destroy_domain "$name"
		at_rest "odd$i.qcow2"
		image_reads "odd$i.qcow2" qcow2 0 4M 1
		hook_log_says "$name: release (destroyed): vda 'odd$i.qcow2': reset"
	done
	no_session
}
promise "domains with blanks, quotes, ';', '\$()', UTF-8 and leading dashes in their names revert" odd_domain_names

a_name_with_a_newline() {
	local name=$'new\nline' uuid
	uuid=$(uuid_of 30)
	make_image newline.qcow2 qcow2 4M 1
	domain_json "$name" <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
	domain_xml "$name" "$uuid" "$(disk vda "$MNT/newline.qcow2")" >"$WORK/newline.xml"
	virsh -q create "$WORK/newline.xml" >&2
	same "$(status_of newline.qcow2 .session.domain)" 'new?line'
	monitor "$uuid" 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 9 1M 64k"'
	virsh -q destroy --domain "$uuid" >&2
	wait_until 20 job_is_done newline.qcow2
	image_reads newline.qcow2 qcow2 1M 64k 9
	grep -q false "/etc/libvirt/hooks/config/$name.json"
	virsh -q create "$WORK/newline.xml" >&2
	monitor "$uuid" 'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 10 1M 64k"'
	virsh -q destroy --domain "$uuid" >&2
	at_rest newline.qcow2
	image_reads newline.qcow2 qcow2 1M 64k 9
	hook_log_says "new?line: release (destroyed): vda 'newline.qcow2': reset"
}
promise "a transient domain with a newline in its name commits and reverts" a_name_with_a_newline

# shellcheck disable=SC2016
odd_paths() {
	local path i=40
	for path in 'a b.qcow2' "it's \"q\" & <é>.qcow2" 'dir/ sub dir/漢字 \ %20.img' '$HOME;`id`.qcow2' 'a,b=c.qcow2' '-o.qcow2' ' lead'; do
		i=$((i + 1))
		make_image "$path" qcow2 4M 1
		define_domain "path$i" "$(uuid_of "$i")" "$(disk vda "$MNT/$path")"
		domain_json "path$i" <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
		start_domain "path$i"
		writes_once "path$i" vda
		destroy_domain "path$i"
		wait_until 20 job_is_done "$path"
		at_rest "$path"
		image_reads "$path" qcow2 1M 64k 9
		start_domain "path$i"
		guest_io "path$i" vda 'write -P 10 1M 64k'
		destroy_domain "path$i"
		starts_with "path$i" vda 1M 64k 9
		at_rest "$path"
	done
}
promise "images with blanks, quotes, commas, backslashes and UTF-8 in their paths commit and revert" odd_paths

volumes() {
	make_image vol1.qcow2 qcow2 4M 1
	make_image vol2.qcow2 qcow2 4M 1
	directory_pool 'pool 1' "$MNT"
	define_domain vol "$(uuid_of 50)" "$(volume vda 'pool 1' vol1.qcow2)" "$(volume vdb 'pool 1' vol2.qcow2)"
	domain_json vol <<<'{"disks":[{"target":"vda"}]}'
	start_domain vol
	same "$(status_of vol1.qcow2 .session.domain)" vol
	same "$(status_of vol2.qcow2)" ""
	writes_once vol vda
	guest_io vol vdb 'write -P 9 1M 64k'
	destroy_domain vol
	at_rest vol1.qcow2
	image_reads vol1.qcow2 qcow2 0 4M 1
	image_reads vol2.qcow2 qcow2 1M 64k 9
	starts_with vol vda 0 4M 1
	domain_json vol <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
	start_domain vol
	guest_io vol vda 'write -P 11 1M 64k'
	shutdown_domain vol
	wait_until 20 job_is_done vol1.qcow2
	image_reads vol1.qcow2 qcow2 1M 64k 11
}
promise "a disk of type='volume' in a pool on the mount commits and reverts, one without an entry does not" volumes

transient_pools() {
	virsh -q pool-destroy 'pool 1' >&2
	refuses start_domain vol
	says "pool 'pool 1'"
	virsh -q pool-undefine 'pool 1' >&2
	virsh -q pool-create-as 'pool 1' dir --target "$MNT" >&2
	domain_json vol <<<'{"disks":[{"target":"vda"}]}'
	start_domain vol
	guest_io vol vda 'write -P 12 2M 64k'
	destroy_domain vol
	starts_with vol vda 2M 64k 1
	at_rest vol1.qcow2
}
promise "... also from a pool that is transient; one that is not active stops the start" transient_pools

a_pool_elsewhere() {
	directory_pool real "$IMAGES"
	define_domain vol "$(uuid_of 50)" "$(volume vda real vol1.qcow2)"
	refuses start_domain vol
	says "uses the real image '$IMAGES/vol1.qcow2'"
	at_rest vol1.qcow2
}
promise "a volume of a pool on the real images stops the start" a_pool_elsewhere

# Called by the pool as well as by administrators: looking at everything in the mount has no effect.
pools_may_look() {
	local before after
	before=$(status .disks)
	virsh -q pool-refresh 'pool 1' >&2
	virsh vol-list 'pool 1' | grep -q vol1.qcow2
	refuses grep -e '\.revertfs' <(virsh vol-list 'pool 1')
	same "$(virsh vol-dumpxml vol1.qcow2 'pool 1' | sed -n "s/.*<format type='\(.*\)'.*/\1/p" | head -n 1)" qcow2
	after=$(status .disks)
	same "$after" "$before"
}
promise "a pool may refresh over the mount" pools_may_look

two_mounts() {
	local armed='{"disks":[{"target":"vda","one-shot-commit":true},{"target":"vdb"},{"target":"vdc","one-shot-commit":true}]}'
	make_image two-a.qcow2 qcow2 4M 1
	make_image two-c.qcow2 qcow2 4M 1
	(IMAGES=$OTHER/images make_image two-b.img raw 4M 1)
	define_domain two "$(uuid_of 60)" \
		"$(disk vda "$MNT/two-a.qcow2")" "$(disk vdb "$OTHER/mnt/two-b.img")" "$(disk vdc "$MNT/two-c.qcow2")"
	domain_json two <<<"$armed"
	start_domain two
	same "$(other_status '.disks[] | "\(.name) \(.session.domain) \(.session.target)"')" "two-b.img two vdb"
	guest_io two vda 'write -P 9 1M 64k'
	guest_io two vdb 'write -P 9 1M 64k'
	guest_io two vdc 'write -P 9 1M 64k'
	shutdown_domain two
	same "$(other_status '.disks[] | "\(.name) \(.state) \(.session)"')" "two-b.img pristine null"
	wait_until 20 job_is_done two-a.qcow2
	wait_until 20 job_is_done two-c.qcow2
	same "$(cat /etc/libvirt/hooks/config/two.json)" "${armed//true/false}"
	start_domain two
	guest_io two vda 'read -P 9 1M 64k'
	guest_io two vdb 'read -P 1 0 4M'
	guest_io two vdc 'read -P 9 1M 64k'
	destroy_domain two
	no_session
}
promise "a domain with disks in two mounts commits the one's and resets the other's" two_mounts

one_of_two_refuses() {
	echo "protect two-b.img" >"$OTHER/mnt/.revertfs/control" || :
	(MNT=$OTHER/mnt guest_write two-b.img 1M 64k 5)
	exec 7<>"$OTHER/mnt/two-b.img" # somebody has it open for writing
	refuses start_domain two
	says "two-b.img"
	no_session
	at_rest two-a.qcow2
	exec 7>&-
	start_domain two
	guest_io two vdb 'read -P 1 0 4M'
	destroy_domain two
	no_session
}
promise "where one mount refuses, the domain does not start and the other mount's disks are left alone" one_of_two_refuses

saved_in_two_mounts() {
	start_domain two
	guest_io two vda 'write -P 13 2M 64k'
	guest_io two vdb 'write -P 13 2M 64k'
	virsh -q managedsave two >&2
	start_domain two
	guest_io two vda 'read -P 13 2M 64k'
	guest_io two vdb 'read -P 13 2M 64k'
	destroy_domain two
	start_domain two
	guest_io two vda 'read -P 1 2M 64k'
	guest_io two vdb 'read -P 1 2M 64k'
	destroy_domain two
}
promise "a saved domain comes back to its bytes in both mounts" saved_in_two_mounts
