#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An export's program gets the finished file and its sidecar, and nothing goes through a shell on the way; what it fails with is said, and
# the file stays.
. "$TESTLIB"
need_fuse
need jq qemu-img

make_image vm.qcow2 qcow2 4M 0x11
start_daemon -o protect=vm.qcow2 || fail "the daemon starts"

export_with() {
	"$REVERTCTL" --mount "$MNT" export vm.qcow2 "$@"
}

# program NAME <<<SCRIPT
program() {
	{ echo "#!/bin/bash"; cat; } >"$1"
	chmod 755 "$1"
}

gets_the_file() {
	program hook <<-'SCRIPT'
		printf '%s\n' "$#" "$1" "$2" >arguments
		env | grep ^REVERTFS_[A-Z0-9]*= | grep -vE 'REVERTFS_(HOOK|FAULTS)' | sort >variables
		[[ -s $1 && -s $2 ]]
	SCRIPT
	export_with --to "a \$(touch x) 'b\"; c" --post-hook ./hook --format raw >said
	local file="$WORK/a \$(touch x) 'b\"; c"
	same "$(cat arguments)" "2"$'\n'"$file"$'\n'"$file.json"
	same "$(cat variables)" "$(printf '%s\n' REVERTFS_CONSISTENCY=clean REVERTFS_DISK=vm.qcow2 "REVERTFS_FILE=$file" \
		REVERTFS_FORMAT=raw "REVERTFS_SHA256=$(sha256sum <"$file" | cut -d ' ' -f 1)" "REVERTFS_SIDECAR=$file.json")"
	[[ ! -e x ]]
}
promise "it gets the file, its sidecar, and what is known of both" gets_the_file

of_a_point() {
	ctl "snapshot vm.qcow2 installed" >&2
	# shellcheck disable=SC2016 # for the program
	program hook <<<'echo "$REVERTFS_POINT"'
	same "$(export_with --to p.qcow2 --point installed --post-hook ./hook | tail -n 1)" installed
	same "$(export_with --to q.qcow2 --post-hook ./hook --json 2>heard | jq -r .ok)" true
	same "$(cat heard)" ""
}
promise "what it prints is seen, and stays out of --json's object" of_a_point

without_a_checksum() {
	# shellcheck disable=SC2016 # for the program
	program hook <<<'echo "${REVERTFS_SHA256-none}"'
	export_with --to c.qcow2 --no-checksum --post-hook ./hook >said
	same "$(cat said)" "vm.qcow2: exported"$'\n'none
	truncate -s 160M "$IMAGES/holes.img"
	ctl "protect holes.img" >&2
	"$REVERTCTL" --mount "$MNT" export holes.img --to holes.raw --format raw --post-hook ./hook >said
	same "$(cat said)" "holes.img: exported; without a checksum, since it is mostly holes: --checksum takes one"$'\n'none
}
promise "without a checksum there is none in its environment, and it is said why" without_a_checksum

fails() {
	local status=0
	program hook <<<'exit 7'
	export_with --to f.qcow2 --post-hook ./hook 2>"$WORK/refusal" >said || status=$?
	same "$status" 1
	says "'$WORK/f.qcow2' is there, but './hook' ended with status 7"
	refuses env --ignore-signal=CHLD "$REVERTCTL" --mount "$MNT" export vm.qcow2 --to g.qcow2 --post-hook ./hook
	says "'./hook' ended with status 7"
	qemu-img compare -q f.qcow2 "$IMAGES/vm.qcow2"
}
promise "when it fails, that is said, and the file stays" fails

is_not_there() {
	refuses export_with --to n.qcow2 --post-hook ./nothing
	says "'./nothing' is no program that can be run"
	refuses export_with --to n.qcow2 --post-hook "hook with arguments"
	refuses export_with --to n.qcow2 --post-hook ./hook --detach
	[[ ! -e n.qcow2 ]]
}
promise "one that is not there is noticed before anything is exported" is_not_there

sample() {
	mkdir bin
	program bin/openstack <<<'printf "%s\n" "$@" >uploaded'
	PATH=$WORK/bin:$PATH export_with --to u.qcow2 --post-hook "$TESTS/../conf/upload-to-openstack"
	same "$(head -n 6 uploaded | tr '\n' ' ')" "image create --disk-format qcow2 --container-format bare "
	grep -qx -- "--file=$WORK/u.qcow2" uploaded
	grep -qx -- "--property=revertfs_consistency=clean" uploaded
	grep -qx -- "--property=revertfs_sha256=$(checksum u.qcow2)" uploaded
	grep -qx "vm.qcow2" uploaded
	PATH=$WORK/bin:$PATH export_with --to v.qcow2 --no-checksum --post-hook "$TESTS/../conf/upload-to-openstack"
	same "$(grep -c sha256 uploaded)" 0
}
promise "the sample for OpenStack hands the file to its client" sample
