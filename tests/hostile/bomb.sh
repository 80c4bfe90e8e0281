#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A QEMU that a guest has broken out of makes its scratch read as far more than it takes, by clusters that are compressed or used many
# times: a fold would fill the image's filesystem with that. Such a scratch is sealed by nothing; the image stays as it is.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

uuid=11111111-2222-3333-4444-555555555555
make_image u/vm.img raw 64M
qemu_io -f raw -c "write -q -P 1 0 64k" "$IMAGES/u/vm.img" # the rest is a hole
chown "$USER_A:$USER_A" "$IMAGES/u/vm.img"
cp --sparse=always "$IMAGES/u/vm.img" "$WORK/before.raw"
start_attacked -o 'template=extended_l2=on\,cluster_size=128k' && ctl 'protect u/vm.img' >/dev/null || fail "the image can be protected"

# bomb KIND: what the attacker writes through the mount, as the owner of the scratch. A table of 128 KiB clusters with 16-byte entries.
bomb() {
	as_user qemu-io -f qcow2 -c "write -q -P 2 0 128k" "$MNT/u/vm.img"
	as_user env PATH="/usr/bin:$PATH" python3 - "$MNT/u/vm.img" "$1" <<'END'
import struct, sys, zlib
with open(sys.argv[1], "r+b") as f:
    def get(offset):
        f.seek(offset)
        return struct.unpack(">Q", f.read(8))[0]
    def put(offset, *values):
        f.seek(offset)
        f.write(struct.pack(">%dQ" % len(values), *values))
    table = get(get(40)) & 0x00fffffffffffe00
    entry = get(table)
    if sys.argv[2] == "compressed":
        packer = zlib.compressobj(9, zlib.DEFLATED, -12)
        data = packer.compress(b"\x07" * 131072) + packer.flush()
        data += b"\0" * (-len(data) % 512)
        f.seek(0, 2)
        at = f.tell() + 511 & ~511
        f.seek(at)
        f.write(data)
        entry = 1 << 62 | (len(data) // 512 - 1) << 53 | at
    elif sys.argv[2] == "behind_the_end":
        f.seek(0, 2)
        entry = 1 << 63 | (f.tell() + 131071 & ~131071) + (1 << 30)
    put(table, *[entry, 0 if entry >> 62 & 1 else 0xffffffff] * 512)
END
}

prepare() {
	ctl "prepare $uuid domain=d u/vm.img target=vda armed=yes"
}

image_is_untouched() {
	cmp "$IMAGES/u/vm.img" "$WORK/before.raw"
	(($(stat -c %b "$IMAGES/u/vm.img") * 512 < 1 << 20))
}

refused() {
	prepare >&2
	bomb "$1"
	ctl_fails EBADMSG "release $uuid domain=d reason=shutdown vda armed=yes" "$2"
	ctl_fails EBADMSG 'commit u/vm.img' "it was not sealed and the image was not touched"
	ctl_fails EBADMSG 'snapshot u/vm.img s' "'reset u/vm.img' gives it up"
	same "$(status_of u/vm.img '.layers | length')" 1
	image_is_untouched
	# What the sentence names: the content can be saved; and the domain can start. A host's crash leaves references behind the end, so
	# that these are sealed aside.
	if [[ $1 != behind_the_end ]]; then
		qemu-img convert -f qcow2 -O qcow2 "$MNT/u/vm.img" "$WORK/copy"
	fi
	same "$(prepare | jq -r '.disks[0].action')" fresh
	ctl "release $uuid reason=destroyed vda"
	as_user qemu-io -f qcow2 -c "write -q -P 3 1M 64k" "$MNT/u/vm.img"
	ctl 'commit u/vm.img' && ctl 'fold u/vm.img'
	image_reads u/vm.img raw 1M 64k 3
	cp --sparse=always "$IMAGES/u/vm.img" "$WORK/before.raw"
}
promise "compressed clusters are not sealed" refused compressed 'of its clusters are compressed'
promise "clusters that are used many times are not sealed" refused repeated 'to a cluster that is in use already'
promise "clusters behind the file's end are not sealed" refused behind_the_end "behind the file's end"

live() {
	bomb "$1"
	ctl_fails EBADMSG 'snapshot u/vm.img s live=yes' "$2"
	same "$(find "$STATE/layers" -name '*.new' | wc -l)" 0
	ctl 'reset u/vm.img'
}
promise "a running disk with compressed clusters gets no snapshot" live compressed 'compressed'
promise "nor one whose clusters are used many times" live repeated 'in use already'

# Without a session the next start would seal what was written aside.
aside() {
	local names
	names=$(status_of u/vm.img '[.layers[].names[]] | length')
	bomb "$1"
	same "$(prepare | jq -r '.disks[0].action')" fresh
	grep -q "moved to lost/" "$DAEMON_LOG"
	same "$(status_of u/vm.img '[.layers[].names[]] | length')" "$names"
	ctl "release $uuid reason=destroyed vda"
	image_is_untouched
}

promise "what the next start finds of compressed clusters is kept in lost/" aside compressed
promise "and what it finds of clusters that are used many times" aside repeated
