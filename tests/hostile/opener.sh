#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Who opened the control file speaks through it: a setuid program that is handed the descriptor as stderr lends nobody its rights,
# nor do two users lend each other theirs; before and after a restart. The ordinary ways to speak as root go on.
. "$TESTLIB"
# shellcheck source=tests/hostile/lib.sh
. "$TESTS/hostile/lib.sh"

TEAM=64010 # a group that a member may be in
CONTROL_GID=$(getent group "$CONTROL_GROUP" | cut -d : -f 3)
CONTROL=$MNT/.revertfs/control
make_image vm.qcow2 qcow2 1M 1
mkdir "$OUT/team" "$OUT/roots" "$OUT/disks"
chgrp "$TEAM" "$OUT/team"
chgrp 6 "$OUT/disks"
chmod 770 "$OUT/team" "$OUT/disks"
chmod 775 "$OUT/roots"

# The daemon is started from a shell with groups of its own.
cat >"$WORK/revertfs" <<END
#!/bin/sh
exec setpriv --groups 0,6 "$REVERTFS" "\$@"
END
chmod +x "$WORK/revertfs"
export PROGRAM=$WORK/revertfs
START=start_kept start_attacked -o protect=vm.qcow2

# shellcheck disable=SC2016 # that shell expands it
printf '. "$TESTLIB"\nkill_serving\n' >"$WORK/kill" # a command that speak can run

# speak OPENER WRITER COMMAND [BETWEEN...]: one descriptor, opened by the one and written to by the other, each "uid:gid:groups";
# in between a command of root's. The answer is on stdout.
speak() {
	python3 - "$CONTROL" "$@" <<-'END'
		import os, subprocess, sys
		control, opener, writer, command, *between = sys.argv[1:]
		def become(who):
		    uid, gid, groups = who.split(":")
		    os.seteuid(0)
		    os.setgroups([int(group) for group in groups.split(",") if group])
		    os.setegid(int(gid))
		    os.seteuid(int(uid))
		become(opener)
		fd = os.open(control, os.O_RDWR)
		become("0:0:")
		if between:
		    subprocess.run(between, check=True)
		become(writer)
		try:
		    os.write(fd, command.encode() + b"\n")
		except OSError:
		    pass
		become("0:0:")
		print(os.pread(fd, 8000, 0).decode(), end="")
	END
}

# answers ERRNO|ok WORDS OPENER WRITER COMMAND [BETWEEN...]
answers() {
	local answer
	answer=$(speak "${@:3}")
	jq -e --arg e "$1" --arg w "$2" 'if $e == "ok" then .ok else .errno == $e and (.error | contains($w)) end' <<<"$answer" >/dev/null ||
		{ echo "'$5' opened by $3, written by $4 answered $answer, not $1 $2" >&2; return 1; }
}

# shellcheck disable=SC2153 # MEMBER is of lib.sh
root=0:0: member=$MEMBER:$MEMBER:$CONTROL_GID mate=$USER_A:$USER_A:$CONTROL_GID stranger=$USER_B:$USER_B: team=$MEMBER:$MEMBER:$CONTROL_GID,$TEAM
export_private="export vm.qcow2 to=$PRIVATE/copy format=raw"

# ---- setuid programs

# has_it_say PROGRAM: a member hands it the control file as stderr, and a name that is a command.
has_it_say() {
	# shellcheck disable=SC2016 # the member's shell expands it
	as_member bash -c '
		exec 5<>"$1"
		(exec -a "export vm.qcow2 to=$2/by-$3 format=raw replace=yes"$'\''\n'\'' "$(command -v "$3")" --bogus 2>&5) || :
		' has_it_say "$CONTROL" "$PRIVATE" "$1"
	[[ ! -e $PRIVATE/by-$1 ]]
}

nobody_lends_rights() {
	local program
	for program in passwd su chsh chfn mount umount; do
		[[ -u $(command -v "$program") ]] || continue
		has_it_say "$program"
	done
	grep "'$PRIVATE' does not lie in one of the export-dirs" "$DAEMON_LOG" # one has spoken
}
promise "a member gets no rights by having a setuid program write to the control file" nobody_lends_rights

promise "who opens the file and has root write to it keeps his own rights" answers EPERM "export-dirs" "$member" "$root" "$export_private"
promise "... also over a restart of the daemon" answers EPERM "export-dirs" "$member" "$root" "$export_private" \
	bash "$WORK/kill"
promise "... and may do what he may" answers ok "" "$member" "$root" "reset vm.qcow2"
promise "two users do not speak for each other" answers EPERM "user $MEMBER opened the control file and user $USER_A writes" \
	"$member" "$mate" "reset vm.qcow2"
promise "root's descriptor gives a member his own rights" answers EPERM "export-dirs" "$root" "$member" "$export_private"
promise "... with which no session is armed" answers EPERM "root alone may arm a session" "$root" "$member" \
	"arm 11111111-2222-3333-4444-555555555555 1:2:3 vda"
promise "... with which he may reset" answers ok "" "$root" "$member" "reset vm.qcow2"
promise "... and gives somebody else none" answers EPERM "may not use it" "$root" "$stranger" "reset vm.qcow2"
nothing_was_exported() {
	same "$(ls -A "$PRIVATE")" ""
}
promise "nothing was written where only root may" nothing_was_exported

# ---- groups

promise "the opener's supplementary groups count" answers ok "" "$team" "$team" "export vm.qcow2 to=$OUT/team/one format=raw"
promise "... after a restart too, without the writer's" answers ok "" "$team" "$member" "export vm.qcow2 to=$OUT/team/two format=raw" \
	bash "$WORK/kill"
promise "... and those that only the writer has do not" answers EPERM "you may not write" "$member" "$team" \
	"export vm.qcow2 to=$OUT/team/three format=raw"
promise "the group of the daemon's own shell is nobody else's" member_ctl_fails EPERM "export vm.qcow2 to=$OUT/roots/copy format=raw" \
	"you may not write"
promise "... nor are its supplementary groups" member_ctl_fails EPERM "export vm.qcow2 to=$OUT/disks/copy format=raw" "you may not write"

# ---- the ordinary ways

by_tee() {
	echo "export vm.qcow2 to=$PRIVATE/by-tee format=raw" | tee "$CONTROL" >/dev/null
	test -e "$PRIVATE/by-tee"
}
promise "root's tee speaks as root" by_tee

by_su() {
	su -s /bin/sh -c "echo 'export vm.qcow2 to=$PRIVATE/by-su format=raw' >'$CONTROL'"
	test -e "$PRIVATE/by-su"
}
promise "su -c 'echo ... >control' speaks as root" by_su

# A member who may use sudo, in this test's mount namespace alone.
by_sudo() {
	{ cat /etc/passwd; echo "revertfs-member:*:$MEMBER:$MEMBER::/:/bin/sh"; } >"$WORK/passwd"
	printf 'root ALL=(ALL) ALL\n#%s ALL=(ALL) NOPASSWD: ALL\n' "$MEMBER" >"$WORK/sudoers"
	chmod 440 "$WORK/sudoers"
	mount --bind "$WORK/passwd" /etc/passwd
	mount --bind "$WORK/sudoers" /etc/sudoers
	echo "export vm.qcow2 to=$PRIVATE/by-sudo format=raw" | as_member sudo -n tee "$CONTROL" >/dev/null
	as_member sudo -n sh -c "echo 'reset vm.qcow2' >'$CONTROL'"
	umount /etc/passwd /etc/sudoers
	test -e "$PRIVATE/by-sudo"
}
if command -v sudo >/dev/null; then
	promise "a user's sudo tee speaks as root" by_sudo
else
	skip "a user's sudo tee speaks as root: sudo is missing"
fi

kept() {
	exec 5<>"$CONTROL"
	kill_serving
	echo "export vm.qcow2 to=$PRIVATE/kept format=raw" >&5
	same "$(jq .ok <&5)" true
	exec 5>&-
	test -e "$PRIVATE/kept"
}
promise "root's descriptor speaks as root after a restart" kept

by_revertctl() {
	"$REVERTCTL" --mount "$MNT" reset vm.qcow2
}
promise "the client of hook and revertctl speaks as root" by_revertctl

promise "the daemon ends in order" stop_daemon
