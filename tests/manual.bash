#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of the manual pages, as a reader sees and types them. Read after $TESTLIB.
#
# Only the directories are others: what an example has in /var/lib, /etc ... is in $HOST here.

HOST=$WORK/host

here() {
	sed -E "s#/(var/lib|var/log|var/tmp|etc/libvirt|etc/revertfs|usr/local|srv)\b#$HOST&#g"
}

# page NAME.SECTION: its source, wherever that lies.
page() {
	find "$TESTS/../fs" "$TESTS/../hook" -name "$1" | grep .
}

# examples PAGE [HEADING]: what stands between .EX and .EE below it, as groff shows it, in files $WORK/PAGE/1, 2 ... None is a failure.
examples() {
	local heading=${2:-EXAMPLES} directory=$WORK/$1 file
	rm -rf "$directory" && mkdir "$directory"
	awk -v heading="$heading" -v directory="$directory" '
		/^\.SH / { sub(/^\.SH */, ""); gsub(/"/, ""); inside = $0 == heading }
		/^\.EE/ { on = 0 }
		on { print > (directory "/" n) }
		/^\.EX/ && inside { on = 1; n++ }' "$(page "$1")"
	for file in "$directory"/*; do
		[[ -s $file ]] || { echo "$1 has no examples below '$heading'" >&2; return 1; }
		{ printf '.TH x 1\n.SH x\n.EX\n'; cat "$file"; echo .EE; } |
			groff -man -Tutf8 -P-c -P-b -P-u -rLL=300n | sed -n '/x(1)$/d; s/^ \{7\}//p' | here >"$file.shown"
		# What is pasted must be what is typed: no typographic dash or quote.
		LC_ALL=C refuses grep -n '[^ -~]' "$file.shown" || return
		mv "$file.shown" "$file"
	done
}

# The pattern that an output must match. "..." stands for anything, and as a line of its own for any lines, or none; blanks stand for any
# number of blanks.
as_pattern() {
	squeeze | sed -E 's/[][\\*?()|!+@]/\\&/g' | sed -Ez 's/(^|\n)\.\.\.\n/\1.../g; s/\.\.\./*/g'
}

squeeze() {
	sed -E 's/[[:blank:]]+/ /g; s/ $//'
}

# type_in COMMAND SHOWN: it succeeds, and prints what is shown.
type_in() {
	local command=$1 shown=$2 said pattern
	eval "$command" </dev/null >"$WORK/said" 2>&1 || { echo "'$command' fails: $(<"$WORK/said")" >&2; return 1; }
	said=$(squeeze <"$WORK/said")
	pattern=$(as_pattern <<<"$shown")
	# shellcheck disable=SC2053 # it is a pattern
	[[ $said == $pattern ]] || { echo "'$command' prints '$said', not '$shown'" >&2; return 1; }
}

# session FILE: types it in, in this shell. After "# " stands a command, after "> " what goes on with it, and below them what it prints.
session() {
	local line command='' shown='' typed=0
	while IFS= read -r line; do
		case $line in
		'# '*)
			((typed == 0)) || type_in "$command" "${shown%$'\n'}" || return
			command=${line#\# } shown='' typed=$((typed + 1))
			;;
		'> '*) command+=$'\n'${line#> } ;;
		*) shown+=$line$'\n' ;;
		esac
	done <"$1"
	((typed)) || { echo "nothing is typed in $1" >&2; return 1; }
	type_in "$command" "${shown%$'\n'}"
}

# sessions PAGE [HEADING]: all of them, one after another.
sessions() {
	local count
	examples "$@"
	for ((count = 1; ; count++)); do
		[[ -e $WORK/$1/$count ]] || break
		session "$WORK/$1/$count" || { echo "in example $count of $1" >&2; return 1; }
	done
}

# Programs are found as they are where revertfs is installed.
mkdir -p "$HOST/usr/local/bin"
PATH=$HOST/usr/local/bin:$BUILD:$PATH
