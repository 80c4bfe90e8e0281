#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who may do what is decided in the mount as in a plain directory, though a daemon that is root does it: owners, groups,
# modes, sticky and setgid directories, ACLs, and who a new file belongs to.
. "$TESTLIB"
need_fuse
need setpriv setfacl getfacl
posix=$BUILD/tools/posix
nobody=(setpriv --reuid 65534 --regid 65534 --groups "65534,1500")

start_daemon || fail "the daemon starts"
mkdir "$WORK/plain"
chmod 755 "$WORK" "$WORK/plain" "$MNT"

# What the account of posix's section "permissions" refers to.
prepare() {
	local dir=$1 name
	mkdir "$dir" && chmod 755 "$dir" && cd "$dir" || return
	for name in rw-root r-root secret group own acl-yes acl-no; do echo "$name" >"$name"; done
	chmod 666 rw-root
	chmod 644 r-root
	chmod 600 secret
	chgrp 1500 group && chmod 660 group
	chown 65534 own && chmod 6755 own
	chmod 600 acl-yes && setfacl -m u:65534:rw acl-yes
	chmod 666 acl-no && setfacl -m u:65534:- acl-no
	mkdir dir-r dir-x dir-0 dir-w sticky
	echo x | tee dir-r/x dir-x/x dir-0/x sticky/theirs >/dev/null
	chmod 744 dir-r && chmod 711 dir-x && chmod 700 dir-0 && chmod 777 dir-w && chmod 1777 sticky
}

account() {
	local dir=$1
	shift
	(prepare "$dir") && cd "$dir" && "$@"
}

# as_in_a_plain_directory NAME COMMAND...
as_in_a_plain_directory() {
	local name=$1
	shift
	account "$WORK/plain/$name" "$@" >"$WORK/$name.plain" 2>&1
	account "$MNT/$name" "$@" >"$WORK/$name.mount" 2>&1
	[[ -s $WORK/$name.mount ]]
	diff "$WORK/$name.plain" "$WORK/$name.mount" >&2
}

promise "a stranger may do in the mount what he may do in a plain directory" \
	as_in_a_plain_directory stranger "${nobody[@]}" "$posix" permissions
promise "root may do in the mount what he may do in a plain directory" \
	as_in_a_plain_directory root "$posix" permissions
promise "the owner's group decides where he is in it" \
	as_in_a_plain_directory group setpriv --reuid 1000 --regid 1500 --clear-groups "$posix" permissions
promise "rights count where they are rights, not where the id is 0" \
	as_in_a_plain_directory weak-root setpriv --bounding-set=-all --inh-caps=-all "$posix" permissions

# A user's own directory, for the sections that need no right but that.
own_directory() {
	local section=$1 dir
	for dir in "$WORK/plain/own-$section" "$MNT/own-$section"; do
		mkdir "$dir" && chown 65534:65534 "$dir"
		(cd "$dir" && "${nobody[@]}" "$posix" "$section") >"$WORK/account.${dir##*/}.$([[ $dir == "$MNT"/* ]] && echo mount || echo plain)" 2>&1
	done
	diff "$WORK/account.own-$section.plain" "$WORK/account.own-$section.mount" >&2
}
for section in create directories setgid links rename attributes xattrs special; do
	promise "a user in his own directory, as in a plain one: $section" own_directory "$section"
done

random_user() {
	local dir
	for dir in "$WORK/plain/random" "$MNT/random"; do
		mkdir "$dir" && chown 65534:65534 "$dir"
		(cd "$dir" && "${nobody[@]}" "$posix" random 77 2000) >"$WORK/random.$([[ $dir == "$MNT"/* ]] && echo mount || echo plain)" 2>&1
	done
	diff "$WORK/random.plain" "$WORK/random.mount" >&2
}
promise "a user in his own directory, as in a plain one: 2000 random steps" random_user

new_files_are_their_makers() {
	mkdir "$MNT/w" && chmod 777 "$MNT/w"
	"${nobody[@]}" bash -c "cd '$MNT/w' && umask 077 && echo x >f && mkdir d && ln -s f l && mkfifo p"
	same "$(stat -c '%n %u:%g %a' "$IMAGES"/w/* | sed "s|$IMAGES/w/||")" $'d 65534:65534 700\nf 65534:65534 600\nl 65534:65534 777\np 65534:65534 600'
}
promise "new files belong to who made them, in the images directory too" new_files_are_their_makers

default_acl() {
	local dir
	for dir in "$WORK/plain" "$MNT"; do
		mkdir "$dir/default" && chmod 777 "$dir/default"
		setfacl -d -m u:1000:rwx,g:1500:rx,o::--- "$dir/default"
		(cd "$dir/default" && umask 022 && "${nobody[@]}" bash -c 'umask 077; echo x >f; mkdir d; echo y >d/g' &&
			find . | sort | xargs getfacl -n) >"$WORK/default.$([[ $dir == "$MNT" ]] && echo mount || echo plain)" 2>&1
	done
	grep -q '^user:1000:' "$WORK/default.mount"
	diff "$WORK/default.plain" "$WORK/default.mount" >&2
}
promise "a default ACL is inherited, and the umask does not count where there is one" default_acl

suid_has_no_effect() {
	cp /usr/bin/id "$MNT/id" && chmod 6755 "$MNT/id"
	same "$(stat -c %a "$MNT/id")" 6755
	same "$("${nobody[@]}" "$MNT/id" -u)" 65534
	"${nobody[@]}" "$MNT/id" -u >/dev/null
	mknod "$MNT/zero" c 1 5 && chmod 666 "$MNT/zero"
	refuses dd if="$MNT/zero" of=/dev/null count=1
	says "Permission denied"
}
promise "suid bits and device files have no effect in the mount" suid_has_no_effect

written_suid_files_lose_it() {
	cp /usr/bin/id "$MNT/w/suid" && chmod 6777 "$MNT/w/suid"
	"${nobody[@]}" dd if=/dev/zero of="$MNT/w/suid" bs=1 count=1 conv=notrunc status=none
	same "$(stat -c %a "$IMAGES/w/suid")" 777
	chmod 6777 "$MNT/w/suid"
	"${nobody[@]}" bash -c "echo >'$MNT/w/suid'"
	same "$(stat -c %a "$IMAGES/w/suid")" 777
	setfattr -n security.capability -v 0sAQAAAgAgAAAAAAAAAAAAAAAAAAA= "$MNT/w/suid"
	"${nobody[@]}" bash -c "echo >'$MNT/w/suid'"
	refuses getfattr -n security.capability "$IMAGES/w/suid"
}
promise "who writes to somebody's suid file takes the bits and capabilities from it" written_suid_files_lose_it

# A filesystem without xattrs: libvirt must not find one that it can read and then none that it can write.
without_xattrs() {
	mkdir "$WORK/images2" "$WORK/mnt2" && mount -t ramfs none "$WORK/images2"
	echo x >"$WORK/images2/f"
	"$REVERTFS" -o state="$WORK/state2" "$WORK/images2" "$WORK/mnt2"
	for name in user.a trusted.a security.a; do
		refuses setfattr -n "$name" -v x "$WORK/mnt2/f"
		says "Operation not supported"
		refuses getfattr -n "$name" "$WORK/mnt2/f"
		says "Operation not supported"
	done
	"${nobody[@]}" cat "$WORK/mnt2/f"
	umount "$WORK/mnt2"
}
promise "where the filesystem has no xattrs, all of them are refused alike" without_xattrs

stop_daemon || fail "the daemon ends"
