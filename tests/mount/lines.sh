#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Control lines, as people and broken programs write them: every malformed one is refused with an errno and a sentence and changes
# nothing; every name that a file can have and a line can hold works.
. "$TESTLIB"
need_fuse
need jq qemu-img qemu-io setpriv

control=$MNT/.revertfs/control
uuid=11111111-2222-3333-4444-555555555555
make_image d.img raw 1M 1
mkdir "$IMAGES/dir"
make_image dir/e.img raw 1M 2
ln -s d.img "$IMAGES/link.img"
ln -s dir "$IMAGES/linkdir"
ln -s /etc "$IMAGES/etc"
start_daemon || fail "the daemon starts"
ctl 'protect d.img' >/dev/null || fail "the image can be protected"
same_as_before() {
	same "$(status '[.disks[] | del(.last_error, .open)] | tostring')" "$(cat "$WORK/status")"
}
status '[.disks[] | del(.last_error, .open)] | tostring' >"$WORK/status"

# refused ERRNO LINE...
refused() {
	local error=$1 line
	shift
	for line; do
		ctl_fails "$error" "$line"
		ctl "$line" | jq -e '.error | length > 10' || return 1
		same_as_before
	done
}

malformed() {
	refused EINVAL frobnicate 'PROTECT d.img' protect 'protect d.img dir/e.img' 'reset d.img force' 'reset d.img force=maybe' \
		'reset d.img force=yes force=yes' 'reset d.img colour=blue' 'reset force=yes' 'reset force=yes d.img' 'set d.img' \
		'set d.img keep-revisions' 'set d.img keep-revisions=many' 'set d.img keep-revisions=-1' 'set d.img keep-revisions=99999999999999999999' \
		'set d.img leftover=perhaps' 'set d.img durability=' 'set d.img size=1' 'set d.img size=-5' 'set d.img size=512K' \
		'set d.img size=99999999999T' 'set d.img colour=blue' 'commit d.img at=once' 'fold d.img wait=maybe' 'cancel' 'undo' \
		'protect dir/e.img format=vmdk' 'protect dir/e.img format=' 'announce' 'announce nobody' "announce $uuid$uuid" "announce x=$uuid"
}
promise "an unknown verb, missing or too many words, unknown keys and values are EINVAL" malformed

malformed_sessions() {
	refused EINVAL prepare release "prepare d.img target=vda" "prepare $uuid" "prepare $uuid d.img" "prepare $uuid d.img target=" \
		"prepare $uuid d.img target=vda d.img target=vdb" "prepare $uuid d.img target=vda armed=perhaps" "prepare $uuid reason=asleep d.img target=vda" \
		"prepare $uuid d.img target=vda leftover=maybe" "prepare $uuid d.img target=vda keep-revisions=x" "prepare $uuid ../d.img target=vda" \
		"prepare $uuid d.img target=$(printf 'v%.0s' $(seq 70))" "release $uuid reason=asleep" "release nobody reason=shutdown" \
		"prepare $uuid domain=$(printf 'n%.0s' $(seq 600)) d.img target=vda" "prepare ${uuid}0 d.img target=vda"
	refused ENOENT "prepare $uuid none.img target=vda" "prepare $uuid d.img target=vda none.img target=vdb"
}
promise "malformed lines of the hook are EINVAL, and nothing is half done" malformed_sessions

quoting() {
	refused EINVAL 'reset "d.img' 'reset d.img"' 'reset "d\n.img"' 'reset "d.img\x' '"reset d.img"' '"" d.img' 'reset ""'
	ctl 'reset "d.img"'
	ctl 'reset d".img"'
	ctl '  reset	d.img  '
	ctl 'reset "d.img" force="yes"'
}
promise "quotes must be closed, and a backslash must have something to escape" quoting

bytes() {
	local byte
	for byte in 01 07 08 0b 0c 0d 1b 1f 7f; do
		# shellcheck disable=SC2059 # the escape is the format
		refused EINVAL "reset d.img$(printf "\\x$byte")" "reset $(printf "\\x$byte")"
	done
	refused EINVAL $'reset \xff' $'reset \xc3' $'reset \xc0\xaf' $'reset \xed\xa0\x80' $'reset \xf4\x90\x80\x80'
	refuses bash -c "printf 'reset d.img\\0\\n' >'$control'"
	says "Invalid argument"
	refuses bash -c "printf 'reset d\\0.img' >'$control'"
	same_as_before
}
promise "control characters, NUL bytes and what is no UTF-8 are EINVAL" bytes

paths() {
	refused EINVAL 'protect ..' 'protect .' 'protect ../d.img' 'protect dir/../d.img' 'protect ./d.img' 'protect dir//e.img' 'protect dir/' \
		'protect dir' 'protect /d.img' 'protect /etc/passwd' "protect $IMAGES/d.img" "protect $MNT/../d.img" "protect $MNT" "protect $MNT/" \
		"protect ${MNT}x/d.img" 'protect link.img' 'protect linkdir/e.img' 'protect etc/passwd' 'protect .revertfs/control' \
		'protect .revertfs/images/d.img' 'protect .revertfs'
	refused ENOENT 'protect none.img' 'protect none/none.img' 'reset none.img' 'reset dir/e.img' 'commit none.img' 'fold none.img' \
		'cancel none.img' 'undo none.img' 'unprotect none.img' 'set none.img leftover=keep'
	refused EEXIST 'protect d.img'
	ctl "reset $MNT/d.img"
	ctl "protect \"$MNT/dir/e.img\""
	ctl "unprotect $MNT/dir/e.img"
}
promise "'..', symlinks and absolute paths elsewhere lead nowhere; the mount's own path is fine" paths

names() {
	local name quoted
	# shellcheck disable=SC2016 # a name
	for name in 'with blanks .img' 'quo"te.img' 'back\slash.img' "apo'strophe.img" 'gr\xc3\xbc\xc3\x9fe.img' '\xf0\x9f\x92\xbe.img' 'a=b.img' \
		'key=value' '100%.img' '%2F.img' '.hidden.img' '-dash.img' '$(reboot).img' '*.img' 'x;y|z&.img' '#comment.img' 'sub dir/with "all\\ of.img' \
		'\xef\xbb\xbfbom.img' "$(printf 'l%.0s' $(seq 180)).img"; do
		[[ $name != *'\x'* ]] || name=$(printf '%b' "$name")
		make_image "$name" raw 1M 5
		quoted=${name//\\/\\\\}
		quoted=${quoted//\"/\\\"}
		ctl "protect \"$quoted\""
		same "$(status_of "$name" .state)" pristine
		guest_write "$name" 0 64k 6
		ctl "reset \"$MNT/$quoted\""
		guest_reads "$name" 0 64k 5
		guest_write "$name" 0 64k 7
		ctl "commit \"$quoted\""
		ctl "fold \"$quoted\""
		image_reads "$name" raw 0 64k 7
		ctl "prepare $uuid \"$quoted\" target=vda"
		ctl "release $uuid reason=shutdown vda"
	done
	restart_daemon
	same "$(status '[.disks[] | select(.state == "pristine")] | length')" 20
	for name in "$IMAGES"/*.img "$IMAGES"/*/*.img "$IMAGES"/.hidden.img "$IMAGES/key=value"; do
		name=${name#"$IMAGES"/}
		[[ $name != link* && $name != d.img && $name != dir/* ]] || continue
		guest_reads "$name" 0 64k 7
		quoted=${name//\\/\\\\}
		quoted=${quoted//\"/\\\"}
		ctl "unprotect \"$quoted\""
	done
	same "$(status '.disks | length')" 1
	same "$(ls "$STATE/disks")" d.img
}
promise "names with blanks, quotes, UTF-8, percent signs and what a shell would trip over work, also after a restart" names

newlines() {
	# A name with a newline cannot stand in a line; such a file is simply never a disk.
	make_image $'new\nline.img' raw 1M
	refused EINVAL 'protect "new'
	refuses bash -c "printf 'protect \"new\\nline.img\"\\n' >'$control'"
	same_as_before
}
promise "a newline ends a line, in quotes too" newlines

split_and_joined() {
	make_image s.img raw 1M 1
	# A write is one or more whole lines, with or without the last newline; what is split is two commands.
	printf 'protect s.img\nset s.img leftover=keep\n\n  \nset s.img durability=strict' | dd of="$control" bs=64k iflag=fullblock conv=notrunc status=none
	same "$(status_of s.img '.properties.leftover + .properties.durability')" keepstrict
	refuses bash -c "{ printf 'set s.im'; sleep 0.1; printf 'g leftover=discard\n'; } | dd of='$control' bs=8 conv=notrunc status=none"
	same "$(status_of s.img .properties.leftover)" keep
	exec 9<>"$control"
	printf 'set s.img leftover=discard' >&9
	printf 'set s.img durability=relaxed\n' >&9
	exec 9>&-
	same "$(status_of s.img '.properties.leftover + .properties.durability')" discardrelaxed
	exec 9<>"$control"
	printf 'set s.img leftover=keep\nset s.img colour=blue\nset s.img durability=strict\n' >"$WORK/lines"
	refuses bash -c "dd if='$WORK/lines' bs=64k iflag=fullblock status=none >&9" # in one write, which the shell's printf does not do
	same "$(jq -r .errno <&9)" EINVAL
	exec 9>&-
	same "$(status_of s.img '.properties.leftover + .properties.durability')" keeprelaxed
	# Of several settings in a line, those before the wrong one count.
	ctl_fails EINVAL 'set s.img leftover=discard colour=blue durability=strict'
	same "$(status_of s.img .properties.durability)" relaxed
	ctl 'unprotect s.img'
}
promise "joined writes are done line by line up to the first that fails, split ones are commands of their own" split_and_joined

# in_one_write LINE: the shell writes what is long in pieces.
in_one_write() {
	printf '%s\n' "$1" >"$WORK/line"
	dd if="$WORK/line" of="$control" bs=1M iflag=fullblock conv=notrunc status=none
}

long_lines() {
	refuses in_one_write "reset $(printf 'x%.0s' $(seq 60000))"
	says "File name too long"
	refuses in_one_write "protect $(printf 'x%.0s' $(seq 300)).img"
	says "File name too long"
	refuses in_one_write "protect $(printf 'x%.0s' $(seq 240)).img" # there is none
	says "No such file or directory"
	head -c 65536 /dev/zero | tr '\0' 'x' >"$WORK/long"
	refuses dd if="$WORK/long" of="$control" bs=64k count=1 conv=notrunc status=none
	refuses in_one_write "release $uuid$(printf ' t%s' $(seq 2000))"
	says "Argument list too long"
	same_as_before
	in_one_write "release $uuid reason=shutdown$(printf ' target%s' $(seq 500))"
}
promise "very long lines, names and lists are refused or done, never cut" long_lines

# ---- who may

nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
member=(setpriv --reuid 65534 --regid 65534 --groups 34)

strangers() {
	chmod 755 "$WORK"
	refuses "${nobody[@]}" bash -c "echo 'reset d.img' >'$control'"
	says "Permission denied"
	refuses "${nobody[@]}" cat "$control"
	refuses "${nobody[@]}" bash -c "exec 9<>'$control'"
	refuses "${nobody[@]}" cat "$MNT/.revertfs/status.json"
	same_as_before
}
promise "another user than root gets EACCES for the control file, and the status by status-mode" strangers

group_members() {
	stop_daemon
	start_daemon -o group=34
	refuses "${nobody[@]}" bash -c "echo 'reset d.img' >'$control'"
	says "Permission denied"
	"${member[@]}" bash -c "echo 'reset d.img' >'$control'"
	"${member[@]}" bash -c "exec 9<>'$control'; echo 'reset d.img' >&9; jq -e .ok <&9"
	refuses "${member[@]}" bash -c "echo 'reset none.img' >'$control'"
	says "No such file or directory"
	grep -q "there is no disk 'none.img'.*asked by uid 65534" "$DAEMON_LOG"
}
promise "members of the configured group may use it, and the log says who asked" group_members
stop_daemon || fail "the daemon ends"
