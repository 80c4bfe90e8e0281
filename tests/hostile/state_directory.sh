#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever a damaged disk or a foolish hand makes of the state directory: the daemon serves, or ends with a sentence, in its time;
# no verb kills it or hangs; it ends when it is told to, and starts again on what it left. Files outside that symlinks lead to or
# records name are never changed, and no image is that belongs to no damaged disk.
#
# Each seed is a copy of the state that fixtures/README.md describes, with a few kinds of damage. SEEDS="7 8" chooses them.
. "$TESTLIB"
need_fuse
need jq qemu-img python3 tar gzip

read -ra seeds <<<"${SEEDS:-7 8 11 13 16 44}"
GOOD=$WORK/good
mkdir "$GOOD" && tar -xf "$TESTS/fixtures/fc8d36e/state.tar.gz" -C "$GOOD" || fail "the state is unpacked"

seed_is_survived() {
	local copy=$WORK/seed$1
	mkdir "$copy"
	python3 "$TESTS/hostile/state_directory.py" "$GOOD" "$copy" "$1" >"$copy/found" ||
		{ tail -n 40 "$copy/daemon.log" "$copy/found" >&2; false; }
	rm -rf --one-file-system "$copy"
}

for seed in "${seeds[@]}"; do
	promise "seed $seed: a damaged state directory does no harm" seed_is_survived "$seed"
done
