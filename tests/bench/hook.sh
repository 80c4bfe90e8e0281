#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The hook as libvirt starts it, whole processes, against a hook in Python that renames images and calls qemu-img
# (renaming_hook.py): the two calls of a power cycle, of a domain with two disks, and of one that keeps what it has written.
# MIB=1024 is how much that is.
. "$BENCHLIB"

MIB=${MIB:-1024}
python=/usr/bin/python3
[[ -x $python ]] || python=$(command -v python3) || { echo "hook: no python3 to compare with"; exit 0; }

for name in win10.qcow2 second.qcow2; do
	make_image "$name" qcow2 20G
	mkdir -p "$WORK/renaming" && cp "$IMAGES/$name" "$WORK/renaming/$name"
done
start_daemon || exit 1
sed "s|/srv/vm|$MNT|" "$TESTS/hook/xml/prepare.xml" >"$WORK/domain.xml"
sed "s|/srv/vm|$WORK/renaming|" "$TESTS/hook/xml/prepare.xml" >"$WORK/renaming.xml"
mkdir "$WORK/config" "$WORK/renaming.config" "$WORK/save" "$WORK/libvirt" "$WORK/pools"
hook=("$REVERTFS_HOOK" --config-dir "$WORK/config" --log "$WORK/hooks.log" --save-dir "$WORK/save"
	--libvirt-log-dir "$WORK/libvirt" --storage-dir "$WORK/pools" -- win10)
renaming=("$python" "$TESTS/bench/renaming_hook.py" "$WORK/renaming.config" win10)

# configure DIRECTORY FLAG
configure() {
	cat >"$1/win10.json" <<-JSON
		{
		    "disks": [
		        { "target": "vda", "one-shot-commit": $2 },
		        { "target": "vdb", "one-shot-commit": false }
		    ]
		}
	JSON
}

our_call() {
	stopwatch run 1 "$WORK/domain.xml" "${hook[@]}" "$@"
}

renaming_call() {
	stopwatch run 1 "$WORK/renaming.xml" "${renaming[@]}" "$@" -
}

# One cycle's two calls, the median of ten.
cycle_of() {
	local call=$1 begun ended
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		begun=$("$call" prepare begin -) && ended=$("$call" release end shutdown) || return
		echo $((begun + ended))
	done | sort -n | sed -n 5p
}

# What the guest writes lies in no cache but the host's, and is on the medium: how fast that is belongs to no hook.
committing_cycle_of() {
	local call=$1 directory=$2 file=$3 begun ended
	configure "$directory" true
	begun=$("$call" prepare begin -) || return
	qemu_io -t writeback -f qcow2 -c "write -q -P $((RANDOM % 250 + 1)) 0 ${MIB}M" "$file" && sync -f "$WORK" || return
	ended=$("$call" release end shutdown) || return
	echo $((begun + ended))
	configure "$directory" false
}

ours() { cycle_of our_call; }
theirs() { cycle_of renaming_call; }
ours_committing() {
	committing_cycle_of our_call "$WORK/config" "$MNT/win10.qcow2" && ctl 'fold win10.qcow2' >/dev/null
}
theirs_committing() { committing_cycle_of renaming_call "$WORK/renaming.config" "$WORK/renaming/win10.qcow2"; }

# An event that the hook has nothing to do with: libvirt runs it for each domain on the host.
others() {
	stopwatch run 20 "$WORK/domain.xml" "${hook[@]}" started begin -
}

interpreter() {
	stopwatch run 20 /dev/null "$python" -c pass
}

configure "$WORK/config" false
configure "$WORK/renaming.config" false
our_call prepare begin - >/dev/null && our_call release end shutdown >/dev/null || exit 1 # protects the images
rounds ours ours theirs theirs ours_committing ours_committing theirs_committing theirs_committing other others python interpreter
heading "The hook's whole processes, a domain with two disks, against a renaming hook in Python ($python)"
compare "prepare and release, two calls" ours theirs 15
compare "the same, with a commit of $MIB MiB" ours_committing theirs_committing 50
compare "an event that is not the hook's; Python alone" other python ""
