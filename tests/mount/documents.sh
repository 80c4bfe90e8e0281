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

# page NAME: the source of a manual page, wherever that lies, with plain dashes. pages: where they all lie. source_of NAME: where a file of the
# programs lies.
page() {
	sed 's/\\-/-/g' "$(find "$top/fs" "$top/hook" -name "$1" | grep .)"
}

pages() {
	find "$top/fs" "$top/hook" -name '*.[1-8]' | sort
}

source_of() {
	find "$top/fs" "$top/hook" -name "$1" | grep .
}

# section HEADING: of a page.
section() {
	sed -n "/^\.SH \"\?$1\"\?\$/,/^\.SH /p" | sed '1d'
}

options_agree() {
	"$REVERTFS" -h | words help 's/^    -o ([a-z-]+)=.*/\1/p'
	page revertfs.8 | words in_man 's/^\.BI ([a-z-]+)= .*/\1/p'
	agree help in_man
}
promise "the daemon's options are the same in -h and manual page" options_agree

switches_agree() {
	"$REVERTFS" -h | grep -E '^    -[a-zA-Z][ ,]' | grep -oE '(^    |, )-[a-zA-Z]\b' | grep -v -- '-o$' | words help 's/.*-([a-zA-Z])/\1/p'
	page revertfs.8 | section OPTIONS | grep -A 1 '^\.TP' | words in_man 's/^\.BR? -([a-zA-Z])\b.*/\1/p'
	agree help in_man
}
promise "its switches are the same in -h and manual page" switches_agree

# keys_of PAGE HEADING: "\fBKEY\fR, \fBKEY\fR: TYPE ..." as lines "KEY TYPE".
keys_of() {
	page "$1" | section "$2" | sed -nE 's/\\fB([a-z-]+)\\fR/\1/g; s/^([a-z, -]+): ([a-z]+).*/\1: \2/p' | while IFS=: read -r keys type; do
		tr ',' '\n' <<<"$keys" | sed "s/^ *//; s/\$/$type/"
	done | grep .
}

# "KEY TYPE", of the options' table and of the page.
configuration_agrees() {
	sed -n '/ definitions\[\] = {/,/^};/p; / places\[\] = {/,/^};/p' "$(source_of options.c)" | tr -d '\n' |
		grep -oE '\{ "[a-z-]+", KIND_[A-Z]+, offsetof\([^)]*\), true' |
		words code 's/^\{ "([a-z-]+)", KIND_(TEXT|SIZE|GROUP|MODE|PASSTHROUGH), .*/\1 text/p; s/^\{ "([a-z-]+)", KIND_(LIST|PATHS), .*/\1 list/p
			s/^\{ "([a-z-]+)", KIND_NUMBER, .*/\1 number/p; s/^\{ "([a-z-]+)", KIND_SWITCH, .*/\1 true/p'
	same "$(sort -u code | wc -l)" $(($("$REVERTFS" -h | grep -c '^    -o') + 1)) # all but config, and two more
	keys_of revertfs.json.5 KEYS >in_man
	agree code in_man
}
promise "the keys of the daemon's configuration, and their types, are the same in the options' table and manual page" configuration_agrees

# A known key with a value of no type is refused for its value, another for its name.
configuration_is_known() {
	local key type
	keys_of revertfs.json.5 KEYS >in_man
	while read -r key type; do
		echo "{ \"$key\": null }" >odd.json
		refuses "$REVERTFS" -o config=odd.json
		says "'$key' is not a"
	done < <(grep -v ' true$' in_man)
	echo '{ "keeper": null }' >odd.json
	refuses "$REVERTFS" -o config=odd.json
	says "'keeper' is not true or false"
	echo '{ "no-such-key": null }' >odd.json
	refuses "$REVERTFS" -o config=odd.json
	says "there is no option 'no-such-key'"
}
promise "each of these keys is one" configuration_is_known

domain_file_agrees() {
	grep -oE 'json_get_[a-z0-9]+\([^,]*, "[a-z-]+"' "$(find "$(dirname "$(source_of json_edit.c)")" -name config.c | grep .)" |
		words code 's/json_get_u64\(.*"(.*)"/\1 number/p; s/json_get_bool\(.*"(.*)"/\1 true/p; s/json_get_string\(.*"(.*)"/\1 text/p'
	keys_of revertfs-domain.json.5 "KEYS OF A DISK" >in_man
	agree code in_man
}
promise "the keys of a domain's file, and their types, are the same in the hook's source and manual page" domain_file_agrees

domain_file_is_known() {
	local key type said=0
	mkdir -p odd save
	while read -r key type; do
		echo "{ \"disks\": [ { \"target\": \"vda\", \"$key\": {} } ] }" >odd/vm.json
		refuses "$REVERTFS_HOOK" --config-dir=odd --save-dir=save --log=hooks.log vm prepare begin - </dev/null
		says "\"$key\""
		said=$((said + 1))
	done < <(keys_of revertfs-domain.json.5 "KEYS OF A DISK")
	((said > 3))
}
promise "each of these keys is one" domain_file_is_known

hook_options_agree() {
	"$REVERTFS_HOOK" --help | words help 's/^  --([a-z-]+).*/\1/p'
	page revertfs-hook.8 | words in_man 's/^\.BI? --([a-z-]+).*/\1/p'
	agree help in_man
}
promise "the hook's options are the same in --help and manual page" hook_options_agree

ctl_subcommands_agree() {
	"$REVERTCTL" --help | words help 's/^  ([a-z][a-z-]+) ?.*/\1/p'
	page revertctl.8 | section SUBCOMMANDS | words in_man 's/^\\fB([a-z-]+)\\fR.*/\1/p'
	agree help in_man
	"$REVERTCTL" complete -- '' >completion
	agree help completion
}
promise "revertctl's subcommands are the same in --help, manual page and completion" ctl_subcommands_agree

# Of each subcommand: --help, the line of the manual page, and what the shells are offered.
ctl_options_agree() {
	local subcommand
	for subcommand in $("$REVERTCTL" complete -- ''); do
		"$REVERTCTL" "$subcommand" --help | grep -oE '^  --[a-z-]+' | sort -u | tr -d ' ' >in_help
		page revertctl.8 | section SUBCOMMANDS | grep -E "^.fB$subcommand.fR" | grep -oE -- '--[a-z-]+' | sort -u >in_man
		diff in_help in_man >&2 || { echo "of $subcommand" >&2; return 1; }
		"$REVERTCTL" complete -- "$subcommand" -- | sed 's/=$//' | grep -vE '^--(mount|connect|json|help|version)$' | sort -u >completion
		diff in_help completion >&2 || { echo "of $subcommand" >&2; return 1; }
	done
	"$REVERTCTL" --help | sed -n '/^Options/,$s/^  \(--[a-z]*\).*/\1/p' | sort >in_help
	page revertctl.8 | section OPTIONS | sed -nE 's/^\.BI? (--[a-z]+).*/\1/p' | sort >in_man
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
	page revertctl.8 | section "EXIT STATUS" | sed -n 's/^\.B \([0-9]*\)$/\1/p' | sort -u >in_man
	sed -nE 's/^\s*EXIT_[A-Z]+ = ([0-9]+),.*/\1/p' "$(source_of subcommand.h)" | sort -u >in_code
	diff in_help in_man >&2
	diff <(grep -vx 0 in_help) in_code >&2
}
promise "its exit statuses are the same in --help, manual page and source" exit_statuses_agree

render() {
	command -v groff >/dev/null || { echo "groff is missing" >&2; return 1; }
	local page said count=0
	while read -r page; do
		said=$(groff -ww -man -Tutf8 "$page" 2>&1 >page.txt)
		same "$said" ""
		[[ -s page.txt ]]
		count=$((count + 1))
	done < <(pages)
	((count > 5))
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

# Each manual page that is referred to is there, and each file that the README names.
references_are_there() {
	local name section
	pages | xargs sed 's/\\-/-/g' | grep -oE '^\.BR revert[a-z.-]+ \([0-9]\)' | sort -u >references
	# shellcheck disable=SC2016 # a pattern
	sed -n '/^## Where to read on/,/^## /s/^| `\([^`]*\)`.*/\1/p' "$top/README.md" >documents
	grep -q . references && grep -q '^man ' documents
	while read -r _ name section; do
		page "$name.${section//[()]/}" >/dev/null
	done <references
	while read -r name; do
		case $name in
		'man '*) page "${name##* }.$(cut -d ' ' -f 2 <<<"$name")" >/dev/null ;;
		*) [[ -e $top/$name ]] ;;
		esac
	done <documents
	same "$(grep -c '^man ' documents)" "$(pages | wc -l)"
}
promise "the pages and files that the manual pages and the README refer to are there" references_are_there

pages_are_installed() {
	local page make=(make -s -C "$top" BUILD="$BUILD" SAN="$([[ $SLOW == 1 ]] || echo 1)" DESTDIR="$WORK/root" PREFIX=/usr UNITDIR=/units)
	"${make[@]}" install >&2
	while read -r page; do
		cmp "$page" "$WORK/root/usr/share/man/man${page##*.}/${page##*/}"
	done < <(pages)
	[[ -e $WORK/root/usr/share/man/man5/revertfs.json.5 && -e $WORK/root/usr/share/man/man7/revertfs-control.7 ]]
	"${make[@]}" uninstall >&2
	same "$(find "$WORK/root/usr/share/man" -type f)" ""
}
promise "the manual pages are installed in their sections, and go again" pages_are_installed

# The hook's page shortens the sentences; what is left of them is in the programs as it stands there.
refusals_are_said() {
	local piece
	strings "$REVERTFS_HOOK" "$REVERTFS" >said
	page revertfs-hook.8 | section "WHAT A REFUSED START SAYS" | grep -A 1 '^\.T[PQ]' | grep -v '^\.\|^--' |
		sed "s/\\\\(aq/'/g; s/'[^']*'/%/g; s/ [0-9]* s\$//; s/%.*is \.\.\.\$//" >sentences
	(($(wc -l <sentences) > 10))
	tr '%' '\n' <sentences | sed 's/^ *//; s/ *$//; s/^, //' | grep . | while read -r piece; do
		grep -qF -- "$piece" said || { echo "no program says '$piece'" >&2; return 1; }
	done
}
promise "the hook and the daemon say what the hook's manual page lets them say" refusals_are_said

start_daemon || fail "the daemon starts"

commands_agree() {
	words help '4,/^$/s/^([a-z]+) .*/\1/p' "$MNT/.revertfs/control"
	page revertfs-control.7 | section COMMANDS | words in_man 's/^\\fB([a-z]+)\\fR \\fI.*/\1/p'
	agree help in_man
	sed -nE '/ verbs\[\] = \{/,/^\};/s/^\s*\{ "([a-z]+)", .*/\1/p' "$(source_of disk_verbs.c)" >code
	sed -nE 's/^announce, prepare, release, check .*/announce prepare release check/p' "$MNT/.revertfs/control" | tr ' ' '\n' >>help
	agree help code
}
promise "the commands are the same in the control file, its source and manual page" commands_agree

# settings VERB: those that the page has for it, "set" aside.
settings() {
	page revertfs-control.7 | section COMMANDS | grep -E "^.fB$1.fR .fI" | grep -oE '[a-z-]+=' | tr -d = | sort -u
}

# What the program takes is what the page has, command by command; and what the list has, too.
settings_agree() {
	local verb key all answer
	cp "$MNT/.revertfs/control" list
	{
		page revertfs-control.7 | section COMMANDS | grep '^.fB' | grep -oE '[a-z-]+=' | tr -d =
		sed -n '/^static const char \*const no_keys/,/^static const struct verb/p' "$(source_of disk_verbs.c)" | grep -oE '"[a-z-]+", ' | tr -d '", '
	} >keys
	all=$(sort -u keys)
	sed -nE '4,/^$/s/^([a-z]+) .*/\1/p' list | sort -u >verbs
	while read -r verb; do
		[[ $verb != set ]] || continue
		settings "$verb" >in_man
		sed -n '4,/^$/p' list | grep "^$verb " | grep -oE '[a-z-]+=' | tr -d = | sort -u >help
		for key in $all; do
			answer=$(ctl "$verb none none $key=x" || :)
			[[ $answer == *"does not take '$key='"* ]] || echo "$key"
		done | sort -u >code
		diff in_man code >&2 || { echo "of $verb" >&2; return 1; }
		# The list is short: a note is a note of either kind of snapshot.
		diff in_man help >&2 || { echo "of $verb, in the list" >&2; return 1; }
	done <verbs
}
promise "the settings of each command are the same in the control file, what it takes, and manual page" settings_agree

properties_agree() {
	page revertfs-control.7 | section COMMANDS | sed -n '/^.fBset.fR/,/^\.RE/p' | words in_man 's/^\.BI?R? ([a-z-]+)=.*/\1/p'
	sed -nE '4,/^$/s/^set NAME key=value \.\.\.//p' "$MNT/.revertfs/control" | grep -oE '[a-z-]+=' | words help 's/=//p'
	agree help in_man
	find "$top/fs" -name '*.c' -exec grep -hoE 'strcmp\(key, "[a-z-]+"\)' {} + | words code 's/.*"(.*)".*/\1/p'
	agree code in_man
}
promise "the properties of a disk are the same in the control file, its source and manual page" properties_agree

# What sentences come with, in the daemon's source, but for those that only a start has; and what the page names is somewhere in the source.
errors_agree() {
	local name
	daemon_sources | xargs grep -ohE 'report(_context)?\([a-z_>-]+, -E[A-Z]+|transfer_end\(.*-E[A-Z]+' | grep -oE 'E[A-Z]+$' |
		grep -vxE 'EPROTO|ENOTDIR|ENOTCONN|EFBIG|ENOEXEC' | sort -u >code
	[[ -s code ]]
	page revertfs-control.7 | section ERRORS | grep '^\.BR\? E' | grep -oE '\bE[A-Z]+' | sort -u >in_man
	same "$(comm -23 code in_man)" ""
	while read -r name; do
		daemon_sources | xargs grep -qE -- "-$name\b" || { echo "nothing answers $name" >&2; return 1; }
	done <in_man
}

daemon_sources() {
	find "$top/fs" -name '*.c' ! -path "$top/fs/ctl/*" ! -path "$top/fs/client/*" ! -path "$top/fs/libvirt/*"
}
promise "the errors that the manual page names are those that the daemon's source has" errors_agree

errors_come() {
	make_image e.qcow2 qcow2 1M
	ctl "protect e.qcow2"
	ctl_fails EINVAL "protect /elsewhere"
	ctl_fails ENOENT "reset nothing.qcow2"
	ctl_fails EEXIST "clone e.qcow2 e.qcow2"
	exec 4<>"$MNT/e.qcow2"
	ctl_fails EBUSY "reset e.qcow2"
	exec 4>&-
	refuses dd if=/dev/zero of="$MNT/.revertfs/images/e.qcow2" bs=1 count=1 conv=notrunc
	says "Read-only file system"
	ctl "unprotect e.qcow2"
}
promise "the errors that the manual page explains first come where it says so" errors_come

# The members of an answer: all that the source puts into it, and what the page explains of it.
answers_agree() {
	local file
	for file in control.c disk_verbs.c reply.c; do
		grep -ohE '(json_set_[a-z0-9]+|json_object_object_add)\((request->)?(answer|entry), "[a-z0-9_]+"' "$(source_of "$file")"
	done | words code 's/.*"(.*)"/\1/p'
	page revertfs-control.7 | section ANSWERS | grep -vxE '\.B (true|false)|\.BR (true|false|echo) .*' | grep -E '^\.BR? ' |
		sed 's/^\.BR\? //; s/(.*)//' | grep -oE '[a-z0-9_]+' | grep -vxE 'and|hold' | sort -u >in_man
	agree code in_man
}
promise "the members of an answer are the same in the source and manual page" answers_agree

# What is behind "one object" in the page, and all that the source puts into it. The properties are those of `set`.
status_agrees() {
	grep -oE '(object|root), "[a-z_-]+"' "$(source_of status.c)" | words code 's/.*"(.*)"/\1/p'
	page revertfs-control.7 | section STATUS | sed '1,/^It is one object/d' | grep -E '^\.BR? ' | sed 's/^\.BR\? //' | grep -oE '[a-z_]+' |
		grep -vxE 'and|set|null' >in_man
	printf '%s\n' properties keep-revisions leftover durability reverts >>in_man
	agree code in_man
}
promise "the keys of status.json are the same in its source and manual page" status_agrees

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

source_folders() {
	(cd "$top" && find fs hook -name '*.c' -printf '%h\n' | sort -u)
}

# shellcheck disable=SC2016 # the backquotes are Markdown's
folders_agree() {
	local folder
	for folder in $(source_folders); do
		[[ -e $top/$folder/README.md ]] || { echo "$folder has no README.md" >&2; return 1; }
		sed '1,/^In reading order/d' "$top/$folder/README.md" | grep -oE '`[a-z0-9_]+\.[ch]`' | tr -d '`' | sort >named
		(cd "$top/$folder" && find . -maxdepth 1 -name '*.[ch]' -printf '%f\n' | sort) >there
		diff named there >&2 || { echo "of $folder/README.md" >&2; return 1; }
	done
}
promise "each folder of the source has a page that names its files, each once, and no others" folders_agree

# shellcheck disable=SC2016
map_is_true() {
	local path
	sed -nE 's/^\| `([a-z]+)\/` \| .*/\1/p' "$top/fs/README.md" | sort >named
	(cd "$top/fs" && find . -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort) >there
	diff named there >&2
	for path in $(grep -oE '`[a-z._]+(/[a-z0-9_]+)+\.[ch0-9]+`' "$top/fs/README.md" | tr -d '`'); do
		[[ -e $top/fs/$path ]] || { echo "fs/README.md names $path, which is not there" >&2; return 1; }
	done
}
promise "the map of fs/README.md has all folders, and names files that are there" map_is_true
