#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# --help, the manual pages, the README and the samples say the same, and what the programs do.
. "$TESTLIB"
need_fuse
need jq qemu-img
top=$(dirname "$TESTS")

# agree LIST LIST: two files with the same words, in any order.
agree() {
	diff <(sort -u "$1") <(sort -u "$2") >&2
}

# Words out of documents: what stands between `sed` patterns. None found is a broken pattern.
words() {
	local file=$1
	shift
	sed -nE "$@" >"$file"
	[[ -s $file ]] || { echo "no words for $file" >&2; return 1; }
}

options_agree() {
	"$REVERTFS" -h | words help 's/^    -o ([a-z-]+)=.*/\1/p'
	words man 's/^\.BI ([a-z\\-]+)= .*/\1/p' "$top/fs/revertfs.8"
	sed -i 's/\\//g' man
	sed -n '/^## Configuration/,/^## /p' "$top/README.md" | words readme 's/^\| `([a-z-]+)=.*/\1/p'
	agree help man
	agree help readme
}
promise "the daemon's options are the same in -h, manual page and README" options_agree

switches_agree() {
	local word
	for word in -f -d -h -V; do
		"$REVERTFS" -h | grep -qE "^    .*$word\b"
		grep -qE "^\.BR? .*\\\\$word" "$top/fs/revertfs.8"
	done
}
promise "its switches are the same in -h and manual page" switches_agree

hook_options_agree() {
	"$REVERTFS_HOOK" --help | words help 's/^  --([a-z-]+).*/\1/p'
	sed 's/\\-/-/g' "$top/hook/revertfs-hook.8" | words man 's/^\.BI? --([a-z-]+).*/\1/p'
	agree help man
}
promise "the hook's options are the same in --help and manual page" hook_options_agree

ctl_subcommands_agree() {
	"$REVERTCTL" --help | words help 's/^  ([a-z][a-z-]+) ?.*/\1/p'
	sed 's/\\-/-/g' "$top/fs/ctl/revertctl.8" | sed -n '/^.SH SUBCOMMANDS/,/^.SH "EXIT/p' | words man 's/^\\fB([a-z-]+)\\fR.*/\1/p'
	sed -n '/^## revertctl/,/^## /p' "$top/README.md" | grep -E '^\| `' | cut -d '|' -f 2 | grep -oE '`[a-z-]+' | tr -d '`' >readme
	agree help man
	agree help readme
	"$REVERTCTL" complete -- '' >completion
	agree help completion
}
promise "revertctl's subcommands are the same in --help, manual page, README and completion" ctl_subcommands_agree

# Of each subcommand: --help, the line of the manual page, and what the shells are offered.
ctl_options_agree() {
	local subcommand
	for subcommand in $("$REVERTCTL" complete -- ''); do
		"$REVERTCTL" "$subcommand" --help | grep -oE '^  --[a-z-]+' | sort -u | tr -d ' ' >in_help
		sed 's/\\-/-/g' "$top/fs/ctl/revertctl.8" | grep -E "^.fB$subcommand.fR" | grep -oE -- '--[a-z-]+' | sort -u >in_man
		diff in_help in_man >&2 || { echo "of $subcommand" >&2; return 1; }
		"$REVERTCTL" complete -- "$subcommand" -- | sed 's/=$//' | grep -vE '^--(mount|connect|json|help|version)$' | sort -u >completion
		diff in_help completion >&2 || { echo "of $subcommand" >&2; return 1; }
	done
	"$REVERTCTL" --help | sed -n '/^Options/,$s/^  \(--[a-z]*\).*/\1/p' | sort >in_help
	sed 's/\\-/-/g' "$top/fs/ctl/revertctl.8" | sed -nE '/^.SH OPTIONS/,/^.SH SUB/s/^\.BI? (--[a-z]+).*/\1/p' | sort >in_man
	diff in_help in_man >&2
}
promise "their options are the same in --help, manual page and completion" ctl_options_agree

fits() {
	local subcommand
	"$REVERTCTL" --help >in_help
	for subcommand in $("$REVERTCTL" complete -- ''); do "$REVERTCTL" "$subcommand" --help >>in_help; done
	same "$(awk 'length > 80' in_help)" ""
}
promise "its help fits into 80 columns" fits

exit_statuses_agree() {
	"$REVERTCTL" --help | sed -n '/^Exit status/,$p' | grep -oE '\b(0|1|2|3|4|130)\b' | sort -u >in_help
	sed -n '/^.SH "EXIT STATUS"/,/^.SH ENV/s/^\.B \([0-9]*\)$/\1/p' "$top/fs/ctl/revertctl.8" | sort -u >in_man
	sed -n '/^## revertctl/,/^## Conf/s/^| \([0-9]*\) | .*/\1/p' "$top/README.md" | sort -u >readme
	diff in_help in_man >&2
	diff in_help readme >&2
}
promise "its exit statuses are the same in --help, manual page and README" exit_statuses_agree

render() {
	command -v groff >/dev/null || { echo "groff is missing" >&2; return 1; }
	local page said
	for page in "$top"/fs/*.8 "$top"/fs/*/*.8 "$top"/hook/*.8; do
		said=$(groff -ww -man -Tutf8 "$page" 2>&1 >page.txt)
		same "$said" ""
		[[ -s page.txt ]]
	done
}
if command -v groff >/dev/null; then
	promise "the manual pages render without a warning" render
else
	skip "the manual pages render without a warning: groff is missing"
fi

samples_are_valid() {
	jq --arg i "$IMAGES" --arg m "$MNT" --arg s "$STATE" '.images = $i | .mount = $m | .state = $s' \
		"$top/conf/revertfs.json" >revertfs.json
	"$REVERTFS" -o config=revertfs.json
	umount "$MNT"
	wait_until 10 flock -n "$STATE/lock" true
}
promise "the sample of the daemon's configuration is one" samples_are_valid

start_daemon || fail "the daemon starts"

commands_agree() {
	words help '4,/^$/s/^([a-z]+) .*/\1/p' "$MNT/.revertfs/control"
	sed 's/\\-/-/g' "$top/fs/revertfs.8" | words man 's/^\\fB([a-z]+)\\fR \\fI.*/\1/p'
	sed -n '/^## The control file/,/^## /p' "$top/README.md" | words readme 's/^\| `([a-z]+) .*/\1/p'
	agree help man
	agree help readme
}
promise "the commands are the same in the control file, manual page and README" commands_agree

commands_are_known() {
	local verb
	while read -r verb; do
		ctl_fails EINVAL "$verb" "wants"
	done < <(sed -nE '4,/^$/s/^([a-z]+) .*/\1/p' "$MNT/.revertfs/control")
}
promise "each of these commands is one, and says what it wants" commands_are_known

domain_sample_is_valid() {
	local target
	mkdir -p config save
	cp "$top/conf/domain.json" config/vm.json
	{
		echo "<domain><name>vm</name><uuid>00000000-0000-4000-8000-000000000001</uuid><devices>"
		while read -r target; do
			make_image "$target.qcow2" qcow2 1M >&2
			echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
			echo "<source file='$MNT/$target.qcow2'/><target dev='$target'/></disk>"
		done < <(jq -r '.disks[].target' config/vm.json)
		echo "</devices></domain>"
	} >vm.xml
	"$REVERTFS_HOOK" --config-dir=config --save-dir=save --log=hooks.log vm prepare begin - <vm.xml
	same "$(status '[.disks[] | select(.session)] | length')" "$(jq '.disks | length' config/vm.json)"
}
promise "the sample of a domain's file is one" domain_sample_is_valid

# Each setting that the control file's help names for a verb can be said to revertctl, as an option.
ctl_says_all() {
	local line verb key
	cp "$MNT/.revertfs/control" commands
	sed -nE '4,/^$/p' commands | grep -E '^[a-z]+ [A-Z]' | while read -r line; do
		verb=${line%% *}
		[[ $verb != set ]] || continue
		for key in $(grep -oE '[a-z]+=' <<<"$line" | tr -d =); do
			case $verb.$key in
			commit.at) key=at-release ;;
			clone.follow) key=no-follow ;;
			*.wait) key=detach ;;
			snapshot.consistency) continue ;; # found out, not said
			esac
			"$REVERTCTL" "$verb" --help | grep -qE "^  --$key\b" || { echo "$verb has no option for $key" >&2; return 1; }
		done
	done
}
promise "each setting of the control file is an option of revertctl" ctl_says_all

map_is_true() {
	local directory file
	for directory in fs fs/ctl hook; do
		sed -n "/^| ${directory//\//\\/}\/ |/,/^$/p" "$top/fs/README.md" | grep -oE '^\|[^|]*\|' | grep -oE '[a-z0-9_]+\.[ch]' >map
		[[ -s map ]]
		while read -r file; do
			[[ -e $top/$directory/$file ]] || { echo "$directory/$file is in fs/README.md alone" >&2; return 1; }
		done <map
	done
}
promise "the map of fs/README.md names files that are there" map_is_true
