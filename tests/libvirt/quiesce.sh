#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A snapshot of a running guest, which writes all the time, is of all its disks at one instant; quiesced, its filesystems need no
# mending; and whatever happens to revertctl or to the agent, the guest goes on, and never sees an error.
# ROUNDS: how many quiesced snapshots are made, and looked at.
. "$TESTS/libvirt/linux.bash"

ROUNDS=${ROUNDS:-3}
RESULT=$WORK/result.json
ext4_image web1.img 64M && ext4_image web2.img 64M || fail "there are images"
# A copy is checked and synced only after this program has said so: not while $WORK/hold is there.
cat >"$WORK/slow-img" <<-SLOW
	#!/bin/bash
	[[ \$1 != check ]] || while [[ -e $WORK/hold ]]; do sleep 0.05; done
	exec $(command -v qemu-img) "\$@"
SLOW
chmod 755 "$WORK/slow-img"
start_host -o "qemu-img=$WORK/slow-img"
echo '{"disks":[{"target":"vda","format":"raw"},{"target":"vdb","format":"raw"}]}' | domain_json web1
DISKS=("$(disk vda "$MNT/web1.img")" "$(disk vdb "$MNT/web2.img")")
define_linux web1 "$(uuid_of 1)" agent "${DISKS[@]}"

snapshot_live() {
	"$REVERTCTL" snapshot web1 "$@" --live --json >"$RESULT"
}

result() {
	jq -r "$1" "$RESULT"
}

exported() {
	ctl "export $1 to=$WORK/$1.raw format=raw point=$2 replace=yes" >&2
}

guest_is_fine() {
	domain_is web1 running
	guest_goes_on
	no_error_in_the_guest
}

# Nothing of a point is left, on any disk.
no_point() {
	same "$(status '[.disks[].layers[].names[]] | index("'"$1"'")')" null
}

has_run() {
	virsh -q qemu-agent-command --domain web1 --timeout 5 \
		"$(jq -cn --argjson pid "$1" '{execute: "guest-exec-status", arguments: {pid: $pid}}')" | jq -e .return.exited
}

# in_guest COMMAND...: run by the agent, to its end.
in_guest() {
	local request pid
	request=$(jq -cn '{execute: "guest-exec", arguments: {path: $ARGS.positional[0], arg: $ARGS.positional[1:]}}' --args -- "$@")
	pid=$(virsh -q qemu-agent-command --domain web1 --timeout 5 "$request" | jq .return.pid)
	wait_until 20 has_run "$pid"
}

agent() {
	virsh -q qemu-agent-command --domain web1 --timeout 5 "{\"execute\":\"guest-fsfreeze-$1\"}" | jq -r .return
}

thawed() {
	same "$(agent status)" thawed
}

frozen() {
	same "$(agent status)" frozen
}

# virsh_stops_before COMMAND / virsh_stops_daemon_after COMMAND: revertctl finds this virsh first. It writes that it is there to
# $WORK/at, and waits until that is gone; or stops the daemon when the real one has done its work.
virsh_stops_before() {
	write_virsh "[[ \" \$* \" != *' $1 '* ]] || { touch '$WORK/at'; while [[ -e '$WORK/at' ]]; do sleep 0.02; done; }"
}

virsh_stops_daemon_after() {
	write_virsh "" "[[ \" \$* \" != *' $1 '* ]] || { kill -STOP $(daemon_pid); touch '$WORK/at'; }"
}

write_virsh() {
	mkdir -p "$WORK/bin"
	rm -f "$WORK/at"
	cat >"$WORK/bin/virsh" <<-VIRSH
		#!/bin/bash
		$1
		$(command -v virsh) "\$@"
		status=\$?
		${2:-}
		exit \$status
		VIRSH
	chmod 755 "$WORK/bin/virsh"
}

# Begin a snapshot with that virsh, and come back when it is where it was to stop. It is $! then. A guest thaws once its disk
# answers, so the daemon goes on in any case.
begin_snapshot() {
	trap 'kill -CONT "$(daemon_pid)"' EXIT
	PATH=$WORK/bin:$PATH "$REVERTCTL" snapshot web1 "$@" --live --json >"$RESULT" 2>"$WORK/refusal" &
	wait_until 60 test -e "$WORK/at"
}

quiesced_once() {
	local before name
	before=$(last_synced)
	snapshot_live "$1" --quiesce=require
	same "$(result '"\(.ok) \(.consistency) \(.not_quiesced) \([.disks[].target] | join(" "))"')" "true quiesced null vda vdb"
	result '"\(.paused_ms) \(.frozen_ms)"' >>"$WORK/times"
	for name in web1.img web2.img; do
		exported "$name" "$1"
		same "$(jq -r '"\(.point) \(.consistency)"' "$WORK/$name.raw.json")" "$1 quiesced"
		fs_is_clean "$WORK/$name.raw"
		fs_has_round "$WORK/$name.raw" "$before"
	done
	are_of_one_instant "$WORK/web1.img.raw" "$WORK/web2.img.raw"
}

quiesced() {
	local round
	start_linux web1
	wait_until 30 agent_answers web1
	for ((round = 1; round <= ROUNDS; round++)); do
		quiesced_once "q$round"
		guest_goes_on
	done
	guest_is_fine
}
promise "a quiesced snapshot has clean filesystems with all that was synced, of all disks at one instant" quiesced

are_copied() {
	same "$(status '[.disks[].copied] | join(" ")')" "$1 $1"
}

goes_on_before() {
	local before
	touch "$WORK/hold"
	snapshot_live early --quiesce=require &
	wait_until 30 are_copied early
	wait_until 30 domain_is web1 running
	wait_until 30 thawed
	guest_goes_on
	before=$(last_synced)
	no_point early
	rm "$WORK/hold"
	wait $!
	exported web1.img early
	fs_is_clean "$WORK/web1.img.raw"
	fs_has_synced "$WORK/web1.img.raw" 1
	(($(wc -l <"$WORK/log") < before))
}
promise "the guest goes on once the disks are copied, before that is checked and synced" goes_on_before

killed_while_frozen() {
	virsh_stops_before suspend
	begin_snapshot killed1 --quiesce=require
	refuses thawed
	kill -KILL $!
	rm "$WORK/at"
	wait_until 30 thawed
	guest_is_fine
	no_point killed1
}
promise "revertctl is killed while the guest is frozen: it is thawed" killed_while_frozen

killed_while_paused() {
	virsh_stops_daemon_after suspend
	begin_snapshot killed2 --quiesce=require
	domain_is web1 paused
	kill -KILL $!
	wait_until 30 domain_is web1 running
	kill -CONT "$(daemon_pid)"
	wait_until 30 thawed
	guest_is_fine
}
promise "... while it is paused: it goes on, and is thawed" killed_while_paused

guard_killed() {
	virsh_stops_daemon_after suspend
	begin_snapshot killed3 --quiesce=require --freeze-timeout 10
	pkill -KILL -x revertctl-guard -P $!
	wait_until 30 domain_is web1 running
	kill -CONT "$(daemon_pid)"
	wait_until 30 thawed
	refuses wait $!
	guest_is_fine
	no_point killed3
}
promise "the process that watches over it is killed: revertctl does its work" guard_killed

too_late() {
	virsh_stops_daemon_after suspend
	begin_snapshot late --quiesce --freeze-timeout 2
	wait_until 30 domain_is web1 running
	kill -CONT "$(daemon_pid)"
	wait_until 30 thawed
	! wait $!
	says "no snapshot was made"
	guest_is_fine
	no_point late
}
promise "a daemon that hangs: the guest goes on when its time is over, and nothing is made" too_late

frozen_by_others() {
	agent freeze >&2
	quiesced_once f1
	same "$(result '"\(.frozen_by_others) \(.frozen_ms)"')" "true 0"
	frozen
	"$REVERTCTL" snapshot web1 f2 --live --quiesce >"$RESULT"
	grep -qE "^web1: snapshot 'f2' of vda, vdb is quiesced; the guest was paused for [0-9]+ ms; somebody else had frozen its filesystems, and they still are$" "$RESULT"
	frozen
	agent thaw >&2
	guest_is_fine
}
promise "a guest that somebody has frozen is quiesced, and stays frozen" frozen_by_others

thawed_by_others() {
	agent freeze >&2
	virsh_stops_before suspend
	begin_snapshot f3 --quiesce
	agent thaw >&2
	rm "$WORK/at"
	! wait $!
	says "no snapshot was made: the guest had gone on before that was done"
	no_point f3
	guest_is_fine
}
promise "... nothing is made when he thaws it before it is paused" thawed_by_others

guard_killed_while_others_froze() {
	agent freeze >&2
	virsh_stops_daemon_after suspend
	begin_snapshot f4 --quiesce=require --freeze-timeout 3
	pkill -KILL -x revertctl-guard -P $!
	wait_until 30 domain_is web1 running
	kill -CONT "$(daemon_pid)"
	refuses wait $!
	no_point f4
	frozen
	agent thaw >&2
	guest_is_fine
}
promise "... and it stays frozen when the process that watches over it is killed" guard_killed_while_others_froze

slow_freeze() {
	in_guest /bin/sh -c 'echo 4 >/run/slow'
	refuses "$REVERTCTL" snapshot web1 slow1 --live --quiesce=require --freeze-timeout 1
	says "no snapshot was made: guest-fsfreeze-freeze:"
	no_point slow1
	wait_until 30 thawed
	snapshot_live slow2 --quiesce --freeze-timeout 1
	same "$(result '"\(.ok) \(.consistency) \(.not_quiesced | test("guest-fsfreeze-freeze"))"')" "true crash-consistent true"
	wait_until 30 thawed
	in_guest /bin/rm /run/slow
	guest_is_fine
}
promise "a freeze that takes too long is said, and undone; the snapshot is crash-consistent, or is not made" slow_freeze

all_or_none() {
	virsh -q suspend web1 >&2
	ctl "snapshot web2.img taken live=yes" >&2
	virsh -q resume web1 >&2
	refuses snapshot_live taken --quiesce
	says "no snapshot was made: disk 'web2.img'"
	same "$(status_of web1.img '[.layers[].names[]] | index("taken")')" null
	thawed
	guest_is_fine
}
promise "one disk that refuses: none has the snapshot, and the guest goes on" all_or_none

paused_by_others() {
	virsh -q suspend web1 >&2
	refuses snapshot_live p1 --quiesce=require
	says "the guest is paused"
	snapshot_live p1 --quiesce
	same "$(result '"\(.consistency) \(.paused_ms)"')" "crash-consistent null"
	domain_is web1 paused
	virsh -q resume web1 >&2
	guest_is_fine
}
promise "a guest that somebody has paused stays paused" paused_by_others

of_a_domain_that_is_off() {
	destroy_domain web1
	"$REVERTCTL" snapshot web1 off --live >"$RESULT"
	same "$(cat "$RESULT")" "web1: snapshot 'off' of vda, vdb is clean"
	exported web1.img off
	same "$(jq -r .consistency "$WORK/web1.img.raw.json")" clean
}
promise "of a domain that is off it is clean" of_a_domain_that_is_off

without_an_agent() {
	local before name
	define_linux web1 "$(uuid_of 1)" no-agent "${DISKS[@]}"
	start_linux web1
	refuses snapshot_live n1 --quiesce=require
	says "no snapshot was made: guest-fsfreeze-status:"
	no_point n1
	before=$(last_synced)
	snapshot_live n1 --quiesce
	same "$(result '"\(.ok) \(.consistency) \(.not_quiesced | test("agent"))"')" "true crash-consistent true"
	for name in web1.img web2.img; do
		exported "$name" n1
		same "$(jq -r .consistency "$WORK/$name.raw.json")" crash-consistent
		# As after a power cut: the journal is replayed, and then all that was synced is there.
		refuses fs_is_clean "$WORK/$name.raw"
		says "recovery"
		e2fsck -fy "$WORK/$name.raw" >&2 || (($? == 1))
		fs_is_clean "$WORK/$name.raw"
		fs_has_synced "$WORK/$name.raw" "$before"
	done
	are_of_one_instant "$WORK/web1.img.raw" "$WORK/web2.img.raw"
	guest_is_fine
	snapshot_live n2
	same "$(result '"\(.consistency) \(.not_quiesced) \(.frozen_ms)"')" "crash-consistent null 0"
	guest_is_fine
}
promise "without an agent it is crash-consistent, and says so; require: nothing is made" without_an_agent
