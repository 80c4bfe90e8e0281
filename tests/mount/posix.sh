#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A file that is not protected behaves in the mount as it does in a plain directory: a program does the same things in
# both and says what came of each; the two accounts must be equal.
. "$TESTLIB"
need_fuse
posix=$BUILD/tools/posix

start_daemon || fail "the daemon starts"
mkdir "$WORK/plain"

# as_in_a_plain_directory NAME ARGUMENT...: both in a new directory of their own.
as_in_a_plain_directory() {
	local name=$1
	shift
	mkdir "$WORK/plain/$name" "$MNT/$name"
	(cd "$WORK/plain/$name" && "$posix" "$@") >"$WORK/$name.plain" 2>&1
	(cd "$MNT/$name" && "$posix" "$@") >"$WORK/$name.mount" 2>&1
	[[ -s $WORK/$name.mount ]]
	diff "$WORK/$name.plain" "$WORK/$name.mount" >&2
}

while read -r section; do
	[[ $section != permissions ]] || continue
	# With HANDLE_KILLPRIV_V2, which goes with passthrough, the kernel tells a FUSE filesystem nothing of such a chown.
	[[ $section != chown-nothing || $(status .passthrough) == false ]] || continue
	promise "as in a plain directory: $section" as_in_a_plain_directory "$section" "$section"
done < <("$posix" list)

read -ra seeds <<<"${SEEDS:-1 2 3 4}"
first=${seeds[0]}
for seed in "${seeds[@]}"; do
	promise "as in a plain directory: 2000 random steps, seed $seed" \
		as_in_a_plain_directory "random$seed" random "$seed" 2000
done

# What was done through the mount is what lies in the images directory.
the_same_behind_the_mount() {
	(cd "$MNT/random$first" && find . -printf '%p %y %m %U:%G %s %n %l %T@\n' | sort) >"$WORK/seen"
	(cd "$IMAGES/random$first" && find . -printf '%p %y %m %U:%G %s %n %l %T@\n' | sort) >"$WORK/lies"
	[[ -s $WORK/seen ]]
	diff "$WORK/lies" "$WORK/seen" >&2
	diff -r --no-dereference "$IMAGES/random$first" "$MNT/random$first" >&2
}
promise "the images directory holds exactly what the mount shows" the_same_behind_the_mount

# Changes made behind the mount are seen at once: nothing is cached by name, attribute or content.
changes_behind_are_seen() {
	echo old >"$IMAGES/behind"
	same "$(cat "$MNT/behind")" old
	echo newer >"$IMAGES/behind"
	same "$(cat "$MNT/behind")" newer
	same "$(stat -c %s "$MNT/behind")" 6
	mv "$IMAGES/behind" "$IMAGES/moved"
	refuses cat "$MNT/behind"
	same "$(cat "$MNT/moved")" newer
	rm "$IMAGES/moved"
	refuses stat "$MNT/moved"
	mkdir "$IMAGES/moved"
	same "$(stat -c %F "$MNT/moved")" directory
}
promise "what changes behind the mount is seen at once" changes_behind_are_seen

a_clean_refusal_of_nameless_files() {
	refuses "$posix" tmpfile "$MNT"
	says EOPNOTSUPP
}
promise "a file without a name (O_TMPFILE) is refused as a filesystem without them does" a_clean_refusal_of_nameless_files

no_whiteouts() {
	echo x >"$MNT/white"
	refuses "$posix" whiteout "$MNT/white" "$MNT/out"
	says EINVAL
	[[ -e $MNT/white && ! -e $MNT/out ]]
}
promise "RENAME_WHITEOUT, which would leave a device node behind, is refused" no_whiteouts

programs_run() {
	cp /bin/true "$MNT/program"
	"$MNT/program"
}
promise "programs can be run from the mount" programs_run

tar_and_back() {
	tar -C /usr/include -cf - linux | tar -C "$MNT" -xf -
	tar -C "$MNT" -cf - linux | tar -C "$WORK/plain" -xf -
	diff -r /usr/include/linux "$WORK/plain/linux" >&2
	rm -r "$MNT/linux"
	refuses stat "$IMAGES/linux"
}
promise "a tree is packed in, packed out and removed" tar_and_back

no_descriptor_is_left() {
	local before after
	before=$(find "/proc/$(daemon_pid)/fd" | wc -l)
	for i in $(seq 200); do
		echo "$i" >"$MNT/fd$i"
	done
	rm "$MNT"/fd*
	echo 2 >/proc/sys/vm/drop_caches
	few_descriptors() {
		after=$(find "/proc/$(daemon_pid)/fd" | wc -l)
		((after <= before + 5))
	}
	wait_until 10 few_descriptors
}
promise "what the kernel has forgotten costs the daemon no descriptor" no_descriptor_is_left

stop_daemon || fail "the daemon ends"
