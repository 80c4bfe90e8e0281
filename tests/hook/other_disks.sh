#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Disks that have no file, or more than one, are left alone beside a protected disk, whatever libvirt writes of them; one
# that is to be protected stops the start, with its target and the reason.
. "$TESTS/hook/lib.sh"

start_fake vm || fail "the fake starts"

# begin DISK-XML TARGET...: a domain with a protected vda beside this, and the targets that are to be protected.
begin() {
	local xml=$1
	shift
	forget_lines vm
	printf '{"target":"%s"}\n' "$@" | jq -s '{disks: .}' | domain_json d
	cat >"$WORK/d.xml" <<-XML
		<domain type='kvm'><name>d</name><uuid>$UUID</uuid><devices>$xml
		<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/vm/a.qcow2'/><target dev='vda'/></disk>
		</devices></domain>
	XML
	hook "$WORK/d.xml" d prepare begin
}

# without_a_file KIND NAME DISK-XML
without_a_file() {
	beside_a_protected_one "$3"
	refuses begin "$3" vda vdb
	says "'vdb' is $1"
	same "$(lines vm)" ""
}

beside_a_protected_one() {
	begin "$1" vda
	silent
	[[ $(lines vm) == "prepare $UUID "* ]]
	[[ $(lines vm) != *vdb* ]]
}

while IFS='|' read -r kind name xml; do
	promise "a disk without a file: $name" without_a_file "$kind" "$name" "$xml"
done <<'KINDS'
a cdrom|an empty CD drive|<disk type='file' device='cdrom'><target dev='vdb' bus='sata'/><readonly/></disk>
of type 'network'|network|<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/i'><host name='h'/></source><target dev='vdb'/></disk>
of type 'block'|a block device|<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/lv'/><target dev='vdb'/></disk>
of type 'block'|a LUN|<disk type='block' device='lun'><driver name='qemu' type='raw'/><source dev='/dev/sdz'/><target dev='vdb' bus='scsi'/></disk>
of type 'dir'|a directory|<disk type='dir' device='floppy'><driver name='qemu' type='fat'/><source dir='/tmp'/><target dev='vdb' bus='fdc'/></disk>
of type 'nvme'|NVMe|<disk type='nvme' device='disk'><driver name='qemu' type='raw'/><source type='pci' managed='yes' namespace='1'><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source><target dev='vdb'/></disk>
of type 'vhostuser'|vhost-user|<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/><source type='unix' path='/tmp/s'/><target dev='vdb'/></disk>
of type 'vhostvdpa'|vhost-vdpa|<disk type='vhostvdpa' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vhost-vdpa-0'/><target dev='vdb'/></disk>
KINDS

# misfit WORDS MORE-OF-THE-SOURCE [MORE-OF-THE-DISK]: as libvirt 12 would write it.
misfit() {
	local xml="<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/vm/b.qcow2'>$2</source>${3:-}<target dev='vdb'/></disk>"
	beside_a_protected_one "$xml"
	refuses begin "$xml" vda vdb
	says "disk 'vdb' is $1"
	says ": take it out of the hook's configuration"
	same "$(lines vm)" ""
}
promise "an encrypted disk" misfit "decrypted by QEMU (<encryption>)" "<encryption format='luks'><secret type='passphrase' uuid='$UUID'/></encryption>"
promise "... as it was written earlier" misfit "decrypted by QEMU (<encryption>)" "" "<encryption format='qcow'/>"
promise "a part of a file" misfit "a part of its file (<slices>)" "<slices><slice type='storage' offset='12345' size='123'/></slices>"
promise "a disk with a data file" misfit "kept in two files (<dataStore>)" "<dataStore type='file'><format type='raw'/><source file='/srv/vm/b.raw'/></dataStore>"
promise "a shared disk" misfit "<shareable/>" "" "<shareable/>"
promise "a disk that is being copied" misfit "being copied elsewhere (<mirror>)" "" "<mirror type='file' job='copy'><source file='/srv/copy'/></mirror>"

chain() {
	begin "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${2:-/srv/other/b.s1}'/>$1<target dev='vdb'/></disk>" vda vdb
}

file_of() {
	printf "<backingStore type='file'><format type='qcow2'/><source file='%s'/>%s</backingStore>" "$1" "${2:-}"
}

left_snapshots() {
	refuses chain "$(file_of /srv/vm/b.qcow2)"
	says "disk 'vdb': its source '/srv/other/b.s1' is an external snapshot that was left behind, on '/srv/vm/b.qcow2'"
	says "'qemu-img commit -f qcow2 -b /srv/vm/b.qcow2 /srv/other/b.s1' and 'revertctl commit b.qcow2'"
	refuses chain "$(file_of /srv/vm/b.qcow2)" /srv/vm/b.s1
	says "or, to keep it, remove only <backingStore>, start the domain, 'revertctl commit-once d' and 'virsh blockcommit d vdb --active --pivot --base /srv/vm/b.qcow2'"
	refuses chain "$(file_of /srv/other/b.s0 "$(file_of /srv/vm/b.qcow2)")"
	says "left behind, on '/srv/vm/b.qcow2'"
	refuses chain "$(file_of /srv/other/x)"
	says "'/srv/other/b.s1' is in no revertfs mount"
	refuses chain "$(file_of /srv/vm/.revertfs/images/b.qcow2)"
	says "'/srv/other/b.s1' is in no revertfs mount"
	same "$(lines vm)" ""
}
promise "an external snapshot on a disk of the mount, also on another one" left_snapshots

deep_chains() {
	local chain='' i
	for ((i = 0; i < 100; i++)); do chain=$(file_of "/srv/other/$i" "$chain"); done
	refuses chain "$chain"
	says "'/srv/other/b.s1' is in no revertfs mount"
	chain=$(file_of /srv/vm/b.qcow2)
	for ((i = 0; i < 60; i++)); do chain=$(file_of "/srv/other/$i" "$chain"); done
	refuses chain "$chain"
	says "left behind, on '/srv/vm/b.qcow2'"
}
promise "a chain is read as deep as any that QEMU would open" deep_chains
