# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A libvirtd of the test's own, with real QEMU: . "$TESTS/libvirt/lib.sh" (which reads $TESTLIB too).
#
# The test has a mount namespace of its own (tests/run), so libvirt's directories are simply mounted over: the
# system's libvirt, its domains and its configuration are out of reach. Everything here is in $LV.
# The guest is guest.S: up at once, off at `virsh shutdown`. What a guest would write to its disks QEMU writes on
# request, through the disk's own device (guest_io).
. "$TESTLIB"

LV=$WORK/libvirt
HOOK_DIR=/etc/libvirt/hooks/qemu.d
# shellcheck disable=SC2034 # for the tests
HOOK_LOG=/var/log/libvirt/qemu/hooks.log
LIBVIRT_LOG=$LV/libvirtd.log

need libvirtd virtlogd virsh qemu-system-x86_64 qemu-img qemu-io jq ld
need_fuse

# ---- libvirt itself

# Mount private directories over libvirt's, and write its configuration.
private_libvirt() {
	local dir
	for dir in etc/libvirt run/libvirt var/lib/libvirt var/log/libvirt var/cache/libvirt; do
		mkdir -p "$LV/$dir" "/$dir"
		mount --bind "$LV/$dir" "/$dir"
	done
	mkdir -p "$HOOK_DIR" /etc/libvirt/hooks/config /var/log/libvirt/qemu
	# Without cgroups, sandboxing of the host's kind and the host's policy: none of it is ours to test. The owner of
	# files is changed and restored as everywhere (the DAC driver is always there).
	cat >/etc/libvirt/qemu.conf <<-'CONF'
		security_driver = "none"
		cgroup_controllers = []
		CONF
	cat >/etc/libvirt/libvirtd.conf <<-CONF
		auth_unix_rw = "none"
		unix_sock_rw_perms = "0700"
		log_outputs = "3:file:$LIBVIRT_LOG"
		CONF
	: >/etc/libvirt/virtlogd.conf
	# Where root may use KVM and QEMU's user may not, libvirt probes QEMU anew at each define and start.
	if [[ -c /dev/kvm ]]; then
		mknod -m 660 "$LV/kvm" c 10 232 && chgrp kvm "$LV/kvm" && mount --bind "$LV/kvm" /dev/kvm
	fi
	gcc -m32 -c -o "$LV/guest.o" "$TESTS/libvirt/guest.S" &&
		ld -m elf_i386 -Ttext=0 -e 0 --oformat=binary -o "$LV/guest.rom" "$LV/guest.o"
}
private_libvirt || fail "libvirt's directories are replaced"
# Mounts of the machine's own are not to be asked: out of sight, in this namespace alone.
findmnt -t fuse.revertfs -rno TARGET | while read -r point; do umount -l "$(printf '%b' "$point")"; done

libvirt_answers() {
	virsh -q list
}

# run_in_background NAME COMMAND...: its process is $LV/NAME.process from then on.
run_in_background() {
	local name=$1
	shift
	setsid "$@" </dev/null >>"$LV/$name.err" 2>&1 &
	echo $! >"$LV/$name.process"
	disown
}

process_is_gone() {
	! kill -0 "$1" 2>/dev/null
}

# Returns once libvirtd answers. The hook must be there before: its existence is looked for at the start alone.
# virtlogd stays up while libvirtd comes and goes, as on a real host: it holds the domains' logs.
start_libvirt() {
	if [[ ! -e $LV/virtlogd.process ]] || process_is_gone "$(cat "$LV/virtlogd.process")"; then
		run_in_background virtlogd virtlogd -p "$LV/virtlogd.pid"
		wait_until 10 test -S /run/libvirt/virtlogd-sock || return
	fi
	run_in_background libvirtd libvirtd -p "$LV/libvirtd.pid"
	wait_until 30 libvirt_answers || { tail -n 20 "$LIBVIRT_LOG" "$LV"/*.err >&2; return 1; }
}

# stop_libvirt [SIGNAL]: domains run on, as when libvirt is upgraded, or (KILL) crashes.
stop_libvirt() {
	kill "-${1:-TERM}" "$(cat "$LV/libvirtd.process")" 2>/dev/null
	wait_until 20 process_is_gone "$(cat "$LV/libvirtd.process")"
}

kill_libvirt() {
	stop_libvirt KILL
}

# The machine's crash: libvirt, QEMU and the daemon end at once, with all that /run held. Another boot comes, or
# (crash_host same-boot) everything was killed and nothing more.
crash_host() {
	local pid pids
	mapfile -t pids < <(qemu_pids; awk 1 "$LV"/{libvirtd,virtlogd}.process; ! daemon_runs || daemon_pid)
	kill -KILL "${pids[@]}" 2>/dev/null
	for pid in "${pids[@]}"; do wait_until 10 process_is_gone "$pid" || return; done
	umount -l "$MNT" 2>/dev/null
	find /run/libvirt -mindepth 1 -delete
	rm -f "$LV"/*.pid
	[[ ${1:-} == same-boot ]] || another_boot
}

# The pid files have no newline; driver.pid is libvirtd's own.
qemu_pids() {
	local file
	for file in /run/libvirt/qemu/*.pid; do
		[[ $file == */driver.pid || ! -e $file ]] || echo "$(<"$file")"
	done
}

qemu_pid() {
	cat "/run/libvirt/qemu/$1.pid"
}

# install_hook [PROGRAM [NAME]]: before start_libvirt.
install_hook() {
	install -m 755 "${1:-$REVERTFS_HOOK}" "$HOOK_DIR/${2:-revertfs}"
}

# domain_json NAME <<<JSON: what the administrator wrote for this domain.
domain_json() {
	cat >"/etc/libvirt/hooks/config/$1.json"
}

# ---- domains and pools

# directory_pool NAME PATH
directory_pool() {
	virsh -q pool-define-as "$1" dir --target "$2" >&2 && virsh -q pool-start "$1" >&2
}

xml_text() {
	local text=$1
	# Quoted: bash 5.2 takes a bare & in the replacement for what was matched.
	text=${text//&/"&amp;"} text=${text//</"&lt;"} text=${text//\"/"&quot;"}
	printf '%s' "$text"
}

# disk TARGET PATH [DRIVER-TYPE], volume TARGET POOL VOLUME [DRIVER-TYPE]: a disk's XML, for define_domain.
disk() {
	printf "<disk type='file' device='disk'><driver name='qemu' type='%s'/>" "${3:-qcow2}"
	printf "<source file=\"%s\"/><target dev='%s' bus='virtio'/>%s</disk>\n" "$(xml_text "$2")" "$1" "${DISK_MORE:-}"
}

volume() {
	printf "<disk type='volume' device='disk'><driver name='qemu' type='%s'/>" "${4:-qcow2}"
	printf "<source pool=\"%s\" volume=\"%s\"/>" "$(xml_text "$2")" "$(xml_text "$3")"
	printf "<target dev='%s' bus='virtio'/></disk>\n" "$1"
}

# domain_xml NAME UUID DISK...; DOMAIN_MORE='<on_reboot>...' for what else there is to say. DOMAIN_BOOT takes the place of guest.S
# and its processor, DOMAIN_MEMORY of its 4 MiB.
domain_xml() {
	local name=$1 uuid=$2
	local small_guest="<os><type arch='x86_64' machine='pc'>hvm</type><loader type='rom'>$LV/guest.rom</loader></os>
		<cpu mode='custom' match='exact' check='none'><model>486</model></cpu>"
	shift 2
	cat <<-XML
		<domain type='qemu'>
		  <name>$(xml_text "$name")</name>
		  <uuid>$uuid</uuid>
		  <memory unit='MiB'>${DOMAIN_MEMORY:-4}</memory>
		  ${DOMAIN_BOOT:-"$small_guest"}
		  <features><acpi/></features>
		  ${DOMAIN_MORE:-}
		  <devices>
		    <emulator>$(command -v qemu-system-x86_64)</emulator>
		    <controller type='usb' model='none'/><memballoon model='none'/>
		    $*
		  </devices>
		</domain>
		XML
}

define_domain() {
	domain_xml "$@" >"$LV/define.xml"
	virsh -q define "$LV/define.xml" >&2
}

# command_in FILE 'virsh edit': the command that a sentence in the file has, from these words on. typed FILE WORDS: done as it stands, by the shell.
command_in() {
	grep -o "'$2 [^']*'" "$1" | head -n 1 | tr -d "'"
}

typed() {
	local command
	command=$(command_in "$1" "$2")
	[[ $command ]] || { echo "'$(cat "$1")' has no '$2'" >&2; return 1; }
	eval "$command" >&2
}

domain_is() {
	same "$(virsh domstate --domain "$1" 2>/dev/null | head -n 1)" "$2"
}

# Shutdown is the guest's own doing; libvirt answers for the domain again when the release hook has returned.
shutdown_domain() {
	virsh -q shutdown --domain "$1" >&2
	wait_until 20 domain_is "$1" "shut off"
}

start_domain() {
	virsh -q start --domain "$1" >&2
}

destroy_domain() {
	virsh -q destroy --domain "$1" >&2
}

# guest_io DOMAIN TARGET 'write -P 7 1M 64k': fails as the request fails; a `read -P` compares. What was written and is to
# outlive the kill of QEMU needs a `flush`: QEMU keeps the qcow2's tables in memory. QEMU puts what it has to
# say into the domain's log, not into the answer, so a second, unknown command marks where that ends.
guest_io() {
	local log=/var/log/libvirt/qemu/$1.log device mark=end-of-io-$EPOCHREALTIME from said
	device=/machine/peripheral/virtio-disk$(($(printf '%d' "'${2:2:1}") - 97))/virtio-backend
	from=$(wc -c <"$log")
	monitor "$1" "qemu-io -d $device \"$3\"" && monitor "$1" "qemu-io -d $device \"$mark\"" || return
	wait_until 10 grep -aqF "$mark" "$log" || return
	said=$(tail -c "+$((from + 1))" "$log" | grep -avF "$mark" || :)
	[[ $said != *failed* && $said != *"not found"* && $said != *rror* ]] || { echo "$1 $2 $3: $said" >&2; return 1; }
}

# One line for QEMU's own monitor.
monitor() {
	local answer
	answer=$(virsh -q qemu-monitor-command --domain "$1" --hmp "$2" 2>&1 | tr -d '\r\n')
	[[ -z $answer ]] || { echo "monitor of $1: $2: $answer" >&2; return 1; }
}

# The backing files that libvirt found for a running domain's disk, from the top down, one a line.
backing_chain() {
	virsh dumpxml "$1" | sed -n "/<backingStore/,/<\/disk>/s/.*<source file='\([^']*\)'.*/\1/p"
}

# ---- a host with revertfs, and what became of its disks

# start_host [DAEMON-OPTION...]: the hook, the daemon and libvirtd. make_image first, where -o protect names it.
start_host() {
	[[ -e $HOOK_DIR/revertfs ]] || install_hook
	start_daemon "$@" || fail "the daemon starts"
	start_libvirt || fail "libvirtd starts"
}

# new_libvirt: the hook, called as libvirt 10.5 and later call it: `release` has its reason as the fourth argument, and
# the domain's log is not looked at. The reason is the one that this libvirt has logged, or what $LV/reason says.
new_libvirt() {
	cat >"$LV/hook" <<-HOOK
		#!/bin/bash
		extra=\$4
		if [[ \$2 == release ]]; then
			extra=\$(grep -ao 'shutting down, reason=.*' "/var/log/libvirt/qemu/\$1.log" | tail -n 1)
			extra=\${extra#*=}
			[[ ! -e $LV/reason ]] || extra=\$(cat "$LV/reason")
		fi
		exec "$REVERTFS_HOOK" --libvirt-log-dir "$LV" -- "\$1" "\$2" "\$3" "\$extra"
		HOOK
	install_hook "$LV/hook"
}

hook_log_says() {
	grep -qF -- "$1" "$HOOK_LOG" || { echo "'$(tail -n 5 "$HOOK_LOG")' does not say '$1'" >&2; return 1; }
}

no_session() {
	same "$(status '[.disks[] | select(.session) | .name] | join(" ")')" ""
}

# The disk is as after protect: nothing written, nothing above the image, nobody there.
at_rest() {
	same "$(status_of "$1" '"\(.state) \(.open) \(.layers | length) \(.session) \(.hold) \(.kept) \(.last_error)"')" \
		"pristine 0 1 null null null null"
}

# The names of what was sealed, one a line.
points() {
	status_of "$1" '.layers[].names[]'
}

# point_reads NAME PREFIX OFFSET LENGTH PATTERN: there is one point called PREFIX-..., and it reads so. A fold may be moving its name to the
# layer below at this very moment.
point_reads() {
	wait_until 10 point_reads_now "$@" || point_reads_now "$@"
}

point_reads_now() {
	local path
	path=$(path_of_point "$1" "$2") && qemu_io -r -f qcow2 -c "read -q -P $5 $3 $4" "$path"
}

# path_of_point NAME PREFIX: where the one point that is called PREFIX or PREFIX-... can be read.
path_of_point() {
	local layer
	layer=$(status_of "$1" "[.layers[] | select(any(.names[]; . == \"$2\" or startswith(\"$2-\"))) | .id] | join(\" \")")
	[[ $layer && $layer != *" "* ]] || { echo "'$1' has the points: $(points "$1")" >&2; return 1; }
	echo "$MNT/.revertfs/layers/$layer.qcow2"
}

# Owner, mode and bytes of a real image.
image_state() {
	echo "$(stat -c '%u:%g %a %s %h' "$IMAGES/$1") $(checksum "$IMAGES/$1")"
}

state_files() {
	find "$STATE" | sort
}

# starts_with DOMAIN TARGET OFFSET LENGTH PATTERN: started afresh it reads so, and is then destroyed.
starts_with() {
	start_domain "$1"
	guest_io "$1" "$2" "read -P $5 $3 $4"
	destroy_domain "$1"
}
