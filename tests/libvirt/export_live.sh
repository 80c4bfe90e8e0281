#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A running guest's disks are exported as they were at one instant, while it goes on; nothing of it is left in revertfs afterwards.
. "$TESTS/libvirt/linux.bash"

RESULT=$WORK/result.json
ext4_image web1.img 64M && ext4_image web2.img 64M || fail "there are images"
start_host
echo '{"disks":[{"target":"vda","format":"raw"},{"target":"vdb","format":"raw"}]}' | domain_json web1
define_linux web1 "$(uuid_of 1)" agent "$(disk vda "$MNT/web1.img")" "$(disk vdb "$MNT/web2.img")"
start_linux web1 && wait_until 30 agent_answers web1 || fail "the guest is up"

export_live() {
	"$REVERTCTL" export web1 --live "$@"
}

no_points() {
	same "$(status '[.disks[].layers[].names[]] | join(" ")')" "$*"
}

guest_is_fine() {
	domain_is web1 running
	guest_goes_on
	no_error_in_the_guest
}

# are_quiesced FILE FILE N: clean, of one instant, with N rounds at least.
are_quiesced() {
	local file
	for file in "$1" "$2"; do
		same "$(jq -r .consistency "$file.json")" quiesced
		same "$(jq -r .sha256 "$file.json")" "$(sha256sum <"$file" | cut -d ' ' -f 1)"
		fs_is_clean "$file"
		fs_has_round "$file" "$3"
	done
	are_of_one_instant "$1" "$2"
}

to_a_directory() {
	local before
	before=$(last_synced)
	export_live --quiesce=require --format=raw --to out >said 2>&1
	grep -qE "^web1: snapshot 'export-.*' of vda, vdb is quiesced; the guest was paused for [0-9]+ ms, its filesystems frozen for [0-9]+ ms$" said
	grep -qxF "vdb: exported to '$WORK/out/vdb.raw'" said
	are_quiesced out/vda.raw out/vdb.raw "$before"
	no_points
	guest_is_fine
}
promise "quiesced, each disk a file in a directory, named by its target" to_a_directory

of_a_point() {
	local before
	before=$(last_synced)
	"$REVERTCTL" snapshot web1 kept --live --quiesce=require
	guest_goes_on
	export_live --point kept --format=raw --to out --replace --json >"$RESULT"
	same "$(jq -r '"\(.ok) \(.point) \(.paused_ms) \([.disks[] | "\(.target) \(.export.to)"] | join(" "))"' "$RESULT")" \
		"true kept null vda $WORK/out/vda.raw vdb $WORK/out/vdb.raw"
	are_quiesced out/vda.raw out/vdb.raw "$before"
	no_points kept kept
	"$REVERTCTL" delete web1.img kept
	"$REVERTCTL" delete web2.img kept
}
promise "--point: a snapshot of all of them, without a pause" of_a_point

crash_consistent() {
	export_live --to crash --json >"$RESULT"
	same "$(jq -r '"\(.consistency) \(.not_quiesced) \(.paused_ms > 0) \(.disks | length)"' "$RESULT")" "crash-consistent null true 2"
	same "$(jq -r .consistency crash/vda.qcow2.json crash/vdb.qcow2.json | sort -u)" crash-consistent
	qemu-img check -q crash/vda.qcow2
	no_points
	guest_is_fine
}
promise "without --quiesce the sidecars say crash-consistent" crash_consistent

nothing_is_left() {
	refuses export_live --to crash
	says "exists"
	no_points
	guest_is_fine
}
promise "a file that is there already: no snapshot is left, and the guest goes on" nothing_is_left

has_a_job() {
	[[ $(status '[.disks[].jobs[]] | length') -ge 1 ]]
}

interrupted() {
	local pid status=0
	setsid env --default-signal=INT "$REVERTCTL" export web1 --live --to slow --format=raw --rate=1M >said 2>&1 &
	pid=$!
	wait_until 30 has_a_job
	kill -INT "$pid"
	wait "$pid" || status=$?
	same "$status" 130
	same "$(ls slow)" ""
	no_points
	guest_is_fine
}
promise "Ctrl-C: no file, no snapshot, and the guest goes on" interrupted

hooks() {
	# shellcheck disable=SC2016 # for the program
	printf '#!/bin/sh\n[ -e out/vdb.raw ] && echo "$REVERTFS_DOMAIN $REVERTFS_TARGET $REVERTFS_CONSISTENCY ${1##*/} ${REVERTFS_POINT-none}"\n' >hook
	chmod 755 hook
	rm -r out
	export_live --quiesce --format=raw --to out --post-hook ./hook >said
	same "$(tail -n 2 said)" "web1 vda quiesced vda.raw none"$'\n'"web1 vdb quiesced vdb.raw none"
}
promise "the program for finished files is run for each, when all are there" hooks

# Of one disk, FILE is the file; of a domain that is off it is clean.
of_one_disk() {
	make_image small.qcow2 qcow2 4M 5
	domain_json small <<<'{"disks":[{"target":"vda"}]}'
	define_domain small "$(uuid_of 2)" "$(disk vda "$MNT/small.qcow2")"
	start_domain small
	guest_io small vda 'write -P 6 1M 64k'
	"$REVERTCTL" export small --live --to small.copy
	qemu_io -r -f qcow2 -c 'read -q -P 6 1M 64k' -c 'read -q -P 5 2M 64k' small.copy
	destroy_domain small
	"$REVERTCTL" export small --live --to small.off
	qemu_io -r -f qcow2 -c 'read -q -P 5 0 4M' small.off
	same "$(jq -r .consistency small.copy.json small.off.json | tr '\n' ' ')" "crash-consistent clean "
}
promise "a domain with one disk is one file; off, it is clean" of_one_disk
