#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A view shows an image or a layer to nobody who may not read the image by its path, or owns a disk that stands on it:
# .revertfs/ is no way around the permissions of directories. Status and listings tell names to root and the group alone.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

mkdir -p "$IMAGES"/{private,pub}
make_image private/p.raw raw 1M 0x11
make_image private/group.raw raw 1M 0x33
make_image pub/q.raw raw 1M 0x22
make_image u/own.raw raw 1M 0x44
chmod 700 "$IMAGES/private"
chmod 644 "$IMAGES"/{private/p.raw,pub/q.raw}
chown "$USER_A:$USER_A" "$IMAGES/u/own.raw"
chmod 600 "$IMAGES/u/own.raw"
start_attacked -o protect='*.raw'
VIEWS=$MNT/.revertfs

layer_of() {
	basename "$(status_of "$1" '.layers[] | select(.parent) | .file')" | tail -n 1
}


may_not_read() {
	refuses "$1" head -c 1 "$2"
	says "Permission denied"
}

no_way_around() {
	local who
	for who in as_user as_other as_member; do
		may_not_read $who "$IMAGES/private/p.raw"
		may_not_read $who "$VIEWS/images/private/p.raw"
	done
	as_other head -c 1 "$VIEWS/images/pub/q.raw"
	as_user head -c 1 "$VIEWS/images/u/own.raw"
	may_not_read as_other "$VIEWS/images/u/own.raw"
	head -c 1 "$VIEWS/images/private/p.raw"
}

layers_too() {
	local name layer
	for name in private/p.raw pub/q.raw; do
		ctl "set $name keep-revisions=5"
		guest_write $name 0 64k 0x55
		ctl "commit $name"
	done
	layer=$(layer_of private/p.raw)
	[[ $layer ]]
	may_not_read as_other "$VIEWS/layers/$layer"
	may_not_read as_member "$VIEWS/layers/$layer"
	as_other head -c 1 "$VIEWS/layers/$(layer_of pub/q.raw)"
}

# As libvirt's DAC driver does: the chain of a clone that lies elsewhere is its owner's, while he uses it.
a_clone_reads_its_template() {
	local layer
	ctl "clone private/p.raw pub/c.qcow2 follow=no"
	layer=$(layer_of private/p.raw)
	chown "$USER_A" "$MNT/pub/c.qcow2"
	as_user qemu-img info --backing-chain "$MNT/pub/c.qcow2"
	as_user qemu-io -r -f qcow2 -c 'read -P 0x55 0 64k' -c 'read -P 0x11 64k 64k' "$MNT/pub/c.qcow2"
	may_not_read as_other "$VIEWS/layers/$layer"
	may_not_read as_other "$VIEWS/images/private/p.raw"
	chown "$USER_B" "$MNT/pub/c.qcow2" "$VIEWS/layers/$layer" "$VIEWS/images/private/p.raw"
	as_other qemu-io -r -f qcow2 -c 'read -P 0x55 0 64k' -c 'read -P 0x11 64k 64k' "$MNT/pub/c.qcow2"
	may_not_read as_user "$VIEWS/images/private/p.raw"
}

# The owner that a view shows must not open it for others, nor for himself.
labels_are_root_s() {
	refuses as_other chmod 444 "$VIEWS/images/private/p.raw"
	refuses as_user chmod 444 "$VIEWS/images/u/own.raw"
	refuses as_user chown "$USER_A" "$VIEWS/images/u/own.raw"
	chmod 440 "$VIEWS/images/u/own.raw"
	same "$(stat -c '%u %a' "$VIEWS/images/u/own.raw")" "$USER_A 440"
}

# Mode 0640 of a group that may not search the directory.
groups_need_the_path() {
	chown 0:"$CONTROL_GROUP" "$IMAGES/private/group.raw"
	chmod 640 "$IMAGES/private/group.raw"
	ctl "reset private/group.raw"
	may_not_read as_member "$VIEWS/images/private/group.raw"
	chown 0:"$CONTROL_GROUP" "$IMAGES/private"
	chmod 750 "$IMAGES/private"
	ctl "reset private/group.raw"
	as_member head -c 1 "$VIEWS/images/private/group.raw"
	may_not_read as_other "$VIEWS/images/private/group.raw"
	chmod 700 "$IMAGES/private"
}

names_are_told_to_the_group() {
	local path
	for path in status status.json; do
		as_member cat "$VIEWS/$path" >/dev/null
		refuses as_other cat "$VIEWS/$path"
	done
	for path in images images/private layers; do
		as_member ls "$VIEWS/$path"
		refuses as_other ls "$VIEWS/$path"
	done
}

promise "a view cannot be read where the image's directory cannot be searched" no_way_around
promise "nor can the layers on that image" layers_too
promise "a clone elsewhere reads its template, as its owner alone" a_clone_reads_its_template
promise "only root may change what a view shows" labels_are_root_s
promise "a group needs the directories too" groups_need_the_path
promise "names are told to root and the group" names_are_told_to_the_group
