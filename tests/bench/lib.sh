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

heading() {
	echo
	echo "$1"
	echo "    $(date -u +%F), Linux $(uname -r), $(nproc) CPUs, $(qemu-img --version | head -n 1), $ROUNDS rounds"
	printf '    %-44s %12s %12s %8s %17s %s\n' "" "this" "other" "ratio" "of all rounds" "target"
}

# rounds NAME COMMAND NAME COMMAND ...: every contender once in each round, in turns that begin with another one each time.
rounds() {
	local round i n=$(($# / 2)) args=("$@") name value
	for ((round = 0; round < ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			name=${args[2 * ((i + round) % n)]}
			value=$(eval "${args[2 * ((i + round) % n) + 1]}") || { echo "bench: $name failed" >&2; exit 1; }
			printf '%s\t%s\t%s\n' "$round" "$name" "$value" >>"$SAMPLES"
		done
	done
}

# compare WHAT THIS OTHER TARGET: how many times THIS is as good as OTHER, from the samples of rounds().
compare() {
	awk -F '\t' -v what="$1" -v this="$2" -v other="$3" -v target="$4" '
		$2 == this { a[$1] = $3 }
		$2 == other { b[$1] = $3 }
		function sort(list, n,  i, k, t) {
			for (i = 1; i <= n; i++) for (k = i; k > 1 && list[k] < list[k - 1]; k--) { t = list[k]; list[k] = list[k - 1]; list[k - 1] = t }
		}
		function text(ns) {
			return ns < 1e6 ? sprintf("%.0f us", ns / 1e3) : ns < 1e9 ? sprintf("%.2f ms", ns / 1e6) : sprintf("%.2f s", ns / 1e9)
		}
		END {
			for (round in a) { n++; x[n] = a[round] + 0; y[n] = b[round] + 0; r[n] = y[n] / x[n] }
			sort(x, n); sort(y, n); sort(r, n); m = int((n + 1) / 2)
			printf "    %-44s %12s %12s %8.1f %8.1f-%-8.1f %s\n", what, text(x[m]), text(y[m]), r[m], r[1], r[n],
				target == "" ? "" : sprintf(">= %s%s", target, r[m] < target ? "  MISSED" : "")
		}' "$SAMPLES"
}
