#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Where `-o protect` covers a user's directory, he makes no more disks than a user gets, however many files he makes, before and after a
# start; other images are disks all the same. A filesystem that does not answer keeps the daemon from no end.
. "$TESTLIB"
. "$TESTS/hostile/lib.sh"

# A thirty-second part of the descriptors.
LIMIT=640 GETS=20
make_image a.qcow2 qcow2 1M 1
make_image z.qcow2 qcow2 1M 2
cat >"$WORK/limited" <<END
#!/bin/bash
ulimit -n $LIMIT
exec setpriv --bounding-set=-sys_resource "${PROGRAM:-$REVERTFS}" "\$@"
END
chmod 755 "$WORK/limited"

# The smallest raw images.
some_files() {
	local i
	for ((i = 0; i < 2 * GETS; i++)); do as_user truncate -s 512 "$IMAGES/u/$1$i.qcow2"; done
}

his_disks() {
	status '[.disks[].name | select(startswith("u/"))] | length'
}

others_are_disks() {
	local name
	for name in a z; do same "$(status_of $name.qcow2 .name)" $name.qcow2; done
}

so_many_and_no_more() {
	some_files m
	PROGRAM=$WORK/limited start_attacked -o protect='*.qcow2'
	wait_until 60 others_are_disks # z.qcow2 comes last
	same "$(his_disks)" $GETS
	others_are_disks
	same "$(grep -c "user $USER_A has $GETS images that match" "$DAEMON_LOG")" 1
	as_user tee "$MNT/u/m9.qcow2" <<<"what he writes into a file" >/dev/null
	as_user grep -q "into a file" "$IMAGES/u/m9.qcow2"
}

# What comes before them in the order of names, too.
nor_with_each_start() {
	some_files b
	PROGRAM=$WORK/limited restart_daemon
	wait_until 60 others_are_disks
	same "$(his_disks)" $GETS
	others_are_disks
	ctl "protect u/b1.qcow2 format=raw" # an administrator may
	same "$(his_disks)" $((GETS + 1))
	stop_daemon
}

a_dead_filesystem() {
	mkdir -p "$WORK/told" "$IMAGES/far"
	"$BUILD/tools/hanging" "$WORK/told" "$IMAGES/far" -f -o allow_other >"$WORK/server.log" 2>&1 &
	local server=$!
	wait_until 10 mountpoint -q "$IMAGES/far"
	kill -STOP "$server"
	start_daemon -o protect='*.qcow2'
	grep -q "goes on while the mount answers" "$DAEMON_LOG"
	kill -TERM "$(daemon_pid)"
	wait_for_daemon
	kill -CONT "$server"
}

promise "a user's files become so many disks and no more; the log says so once" so_many_and_no_more
promise "... nor more with each start" nor_with_each_start
promise "a filesystem that does not answer does not keep the daemon from ending" a_dead_filesystem
