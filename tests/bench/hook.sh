#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The hook as libvirt starts it, whole processes, against what a hook in Python does at least: start the interpreter and one
# `qemu-img create`.
. "$BENCHLIB"

python=/usr/bin/python3
[[ -x $python ]] || python=$(command -v python3) || { echo "hook: no python3 to compare with"; exit 0; }

for name in win10.qcow2 second.qcow2; do make_image "$name" qcow2 20G; done
start_daemon || exit 1
sed "s|/srv/vm|$MNT|" "$TESTS/hook/xml/prepare.xml" >"$WORK/domain.xml"
mkdir "$WORK/config" "$WORK/save" "$WORK/libvirt" "$WORK/pools"
cat >"$WORK/config/win10.json" <<-'JSON'
	{
	    "disks": [
	        { "target": "vda", "one-shot-commit": false },
	        { "target": "vdb", "one-shot-commit": false, "leftover": "keep" }
	    ]
	}
JSON
hook=("$REVERTFS_HOOK" --config-dir "$WORK/config" --log "$WORK/hooks.log" --save-dir "$WORK/save"
	--libvirt-log-dir "$WORK/libvirt" --storage-dir "$WORK/pools" -- win10)

prepares() {
	stopwatch run 20 "$WORK/domain.xml" "${hook[@]}" prepare begin -
}

# The release that follows each prepare is in the time of both.
cycles() {
	local sum=0
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sum=$((sum + $(stopwatch run 1 "$WORK/domain.xml" "${hook[@]}" prepare begin -)))
		sum=$((sum + $(stopwatch run 1 "$WORK/domain.xml" "${hook[@]}" release end shutdown)))
	done
	echo $((sum / 10))
}

# An event that the hook has nothing to do with: libvirt runs it for each domain on the host.
others() {
	stopwatch run 20 "$WORK/domain.xml" "${hook[@]}" started begin -
}

interpreter() {
	stopwatch run 20 /dev/null "$python" -c pass
}

renaming() {
	local a b
	a=$(interpreter) || return
	b=$(stopwatch run 10 /dev/null qemu-img create -q -f qcow2 -b "$IMAGES/win10.qcow2" -F qcow2 "$WORK/overlay.qcow2") || return
	echo $((a + b))
}

twice() {
	local a
	a=$(renaming) && echo $((2 * a))
}

heading "The hook's whole process, two disks, against starting Python ($python -c pass) and one 'qemu-img create'"
rounds prepare prepares cycle cycles other others python interpreter renaming renaming twice twice
compare "prepare" prepare renaming 5
compare "prepare and release, two calls each" cycle twice 5
compare "an event that is not the hook's; Python alone" other python ""
