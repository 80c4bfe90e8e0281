#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A daemon that is down or hangs costs a domain its start, with a sentence, and no more: libvirt and the other domains go
# on, nothing was changed, and when the daemon is back the domain starts.
. "$TESTS/libvirt/lib.sh"

make_image web1.qcow2 qcow2 8M 1
mkdir "$WORK/elsewhere" && qemu-img create -q -f qcow2 "$WORK/elsewhere/free.qcow2" 8M
chmod 755 "$WORK/elsewhere"
before=$(image_state web1.qcow2)
DEADLINE=3
cat >"$LV/hook" <<HOOK
#!/bin/sh
exec "$REVERTFS_HOOK" --deadline=$DEADLINE -- "\$@"
HOOK
install_hook "$LV/hook"
start_host
domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
define_domain web1 "$(uuid_of 1)" "$(disk vda "$MNT/web1.qcow2")"
define_domain free "$(uuid_of 2)" "$(disk vda "$WORK/elsewhere/free.qcow2")"
starts_with web1 vda 0 8M 1

# Seconds that a command took, in $WORK/took; its status is the command's.
timed() {
	local from=$SECONDS status=0
	"$@" || status=$?
	echo $((SECONDS - from)) >"$WORK/took"
	return "$status"
}

starts_again() {
	start_domain web1
	guest_io web1 vda 'read -P 1 0 8M'
	guest_io web1 vda 'write -P 7 1M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	no_session
	same "$(image_state web1.qcow2)" "$before"
}

free_domains_go_on() {
	timed start_domain free
	guest_io free vda 'write -P 7 1M 64k'
	destroy_domain free
}

a_daemon_that_hangs() {
	kill -STOP "$(daemon_pid)"
	virsh -q start web1 >"$WORK/start.out" 2>&1 &
	free_domains_go_on
	same "$((SLOW > 1 || $(cat "$WORK/took") < DEADLINE + 1))" 1
	timed refuses wait $!
	cp "$WORK/start.out" "$WORK/refusal"
	says "revertfs: "
	says "$MNT"
	same "$(grep -c 'revertfs: ' "$WORK/refusal")" 1
	# prepare's deadline, and what the release after it may still cost.
	(($(cat "$WORK/took") <= 2 * DEADLINE + 5 * SLOW))
	domain_is web1 "shut off"
	refuses pgrep -x qemu-system-x86
	same "$(image_state web1.qcow2)" "$before"
}
promise "a daemon that hangs: 'virsh start' fails within the deadline, and other domains are not held up" a_daemon_that_hangs

it_goes_on() {
	kill -CONT "$(daemon_pid)"
	wait_until 10 mount_answers
	wait_until 10 no_session
	starts_again
}
promise "... what was asked meanwhile is withdrawn, and the domain starts when the daemon goes on" it_goes_on

# QEMU must get away from the disk; the daemon stops between that and the release.
destroyed_as_it_stops() {
	cat >"$LV/hook.stops" <<-HOOK
		#!/bin/sh
		if [ "\$2" = release ]; then
			kill -STOP $(daemon_pid)
			while grep -h ^State /proc/$(daemon_pid)/task/*/status | grep -qv stopped; do :; done
		fi
		exec "$REVERTFS_HOOK" --deadline=$DEADLINE -- "\$@"
	HOOK
	install_hook "$LV/hook.stops"
	timed destroy_domain web1
	install_hook "$LV/hook"
}

hangs_at_the_end() {
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
	destroyed_as_it_stops
	(($(cat "$WORK/took") <= DEADLINE + 3 * SLOW))
	hook_log_says "web1: release (destroyed): "
	kill -CONT "$(daemon_pid)"
	wait_until 10 mount_answers
	starts_again
}
promise "a daemon that hangs at the end holds 'virsh destroy' no longer than the deadline, and the disk reverts" hangs_at_the_end

a_commit_that_outlasts_the_deadline() {
	local json='{"disks":[{"target":"vda","one-shot-commit":true}]}'
	domain_json web1 <<<"$json"
	start_domain web1
	guest_io web1 vda 'write -P 8 2M 64k'
	destroyed_as_it_stops
	(($(cat "$WORK/took") <= DEADLINE + 3 * SLOW))
	same "$(cat /etc/libvirt/hooks/config/web1.json)" "$json"
	kill -CONT "$(daemon_pid)"
	committed() { [[ $(status_of web1.qcow2 '"\(.session) \(.job) \(.state)"') == "null null pristine" ]]; }
	wait_until 20 committed
	image_reads web1.qcow2 qcow2 2M 64k 8
	start_domain web1
	same "$(cat /etc/libvirt/hooks/config/web1.json)" "${json/true/false}"
	same "$(status_of web1.qcow2 .armed)" false
	guest_io web1 vda 'read -P 8 2M 64k'
	guest_io web1 vda 'write -P 9 2M 64k'
	destroy_domain web1
	at_rest web1.qcow2
	image_reads web1.qcow2 qcow2 2M 64k 8
	# As it was.
	guest_write web1.qcow2 2M 64k 1
	ctl "commit web1.qcow2"
	wait_until 20 at_rest web1.qcow2
}
promise "a commit that outlasts the deadline is done by the daemon, and its flag is taken back at the next start" a_commit_that_outlasts_the_deadline
before=$(image_state web1.qcow2)

killed_beneath_its_mount() {
	kill -KILL "$(daemon_pid)"
	wait_until 10 daemon_is_gone
	timed refuses virsh -q start web1
	says "the revertfs daemon of '$MNT' does not run"
	says "start the revertfs service"
	(($(cat "$WORK/took") <= 2 * SLOW))
	free_domains_go_on
	same "$(image_state web1.qcow2)" "$before"
	umount -l "$MNT"
	start_daemon
	starts_again
}
promise "a daemon that died beneath its mount: the start fails at once with what to do, and works when it is back" killed_beneath_its_mount

stopped_in_order() {
	stop_daemon
	refuses virsh -q start web1
	says "disk 'vda' is to be protected, but no revertfs is mounted: start the revertfs service, which shows '$MNT/web1.qcow2'"
	free_domains_go_on
	same "$(find "$MNT" -mindepth 1)" ""
	start_daemon
	starts_again
}
promise "a daemon that is down: the start fails with what to do, and works when it is back" stopped_in_order

# QEMU's requests fail; libvirt ends it.
killed_under_a_guest() {
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
	kill_daemon
	timed destroy_domain web1
	(($(cat "$WORK/took") <= DEADLINE + 3 * SLOW))
	start_daemon
	starts_again
}
promise "a daemon that was killed under a guest: the domain is ended, and begins afresh" killed_under_a_guest

killed_under_an_armed_guest() {
	domain_json web1 <<<'{"disks":[{"target":"vda","one-shot-commit":true}]}'
	start_domain web1
	guest_io web1 vda 'write -P 7 1M 64k'
	guest_io web1 vda flush
	kill_daemon
	# Nobody can be told of a running session: the file says it, and the command that this is not all.
	refuses "$REVERTCTL" commit-once web1
	says "and that counts when the session ends; but what is written may be lost in a crash of the host before that"
	destroy_domain web1
	start_daemon
	grep -q true /etc/libvirt/hooks/config/web1.json
	domain_json web1 <<<'{"disks":[{"target":"vda"}]}'
	starts_with web1 vda 0 8M 1
	point_reads web1.qcow2 uncommitted 1M 64k 7
	same "$(image_state web1.qcow2)" "$before"
}
promise "... and what an armed one had written is kept as uncommitted-TIME" killed_under_an_armed_guest
