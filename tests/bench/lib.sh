# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What every benchmark begins with: . "$BENCHLIB". It has tests/lib.sh too: the daemon, the control file, images.
#
#	heading "what one reset costs"
#	rounds reset "write 50 ..." create "run 5 ..."
#	compare "a reset" reset create 20
#
# A contender is a function or command that prints one number; smaller is better.
. "$TESTLIB"

stopwatch() {
	"$BUILD/tools/stopwatch" "$@"
}

title() {
	echo
	echo "$1"
	echo "    $(date -u +%F), Linux $(uname -r), $(nproc) CPUs, $(qemu-img --version | head -n 1), $ROUNDS rounds"
}

heading() {
	title "$1"
	printf '    %-44s %12s %12s %8s %17s %s\n' "" "this" "other" "ratio" "of all rounds" "target"
}

# ---- samples

# sample NAME NUMBER: of the round that $round says.
sample() {
	printf '%s\t%s\t%s\n' "$round" "$1" "$2" >>"$SAMPLES"
}

# rounds NAME COMMAND NAME COMMAND ...: every contender once in each round, in turns that begin with another one each time.
rounds() {
	local round i n=$(($# / 2)) args=("$@") name value
	for ((round = 0; round < ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			name=${args[2 * ((i + round) % n)]}
			value=$(eval "${args[2 * ((i + round) % n) + 1]}") || { echo "bench: $name failed" >&2; exit 1; }
			sample "$name" "$value"
		done
	done
}

# median NAME: of its samples, one a round.
median() {
	awk -F '\t' -v name="$1" '$2 == name { print $3 }' "$SAMPLES" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# ratio THIS OTHER: how many times as good THIS is as OTHER: the median of the rounds' ratios, the least and the largest.
ratio() {
	awk -F '\t' -v this="$1" -v other="$2" '
		$2 == this { a[$1] = $3 }
		$2 == other { b[$1] = $3 }
		END { for (round in a) if (a[round] > 0) print b[round] / a[round] }' "$SAMPLES" |
		sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[1], v[NR] }'
}

# ---- tables

text_of_time() {
	awk -v ns="$1" 'BEGIN { print ns < 1e6 ? sprintf("%.0f us", ns / 1e3) : ns < 1e9 ? sprintf("%.2f ms", ns / 1e6) : sprintf("%.2f s", ns / 1e9) }'
}

# missed RATIO TARGET: prints so, where it is.
missed() {
	awk -v ratio="$1" -v target="$2" 'BEGIN { if (target != "" && ratio < target) print "  MISSED" }'
}

# compare WHAT THIS OTHER TARGET: a line of times.
compare() {
	local median least largest
	read -r median least largest <<<"$(ratio "$2" "$3")"
	printf '    %-44s %12s %12s %8.1f %8.1f-%-8.1f %s%s\n' "$1" "$(text_of_time "$(median "$2")")" "$(text_of_time "$(median "$3")")" \
		"$median" "$least" "$largest" "${4:+>= $4}" "$(missed "$median" "$4")"
}
