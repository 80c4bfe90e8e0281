#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a guest's reads and writes cost through each way to give it a disk that can be thrown away: QEMU's own block layer
# (qemu-img bench) on the same image, with its page cache and without, one request at a time and sixteen.
# REQUESTS=200 makes it short, CONTENDERS="direct served" leaves the others out.
. "$BENCHLIB"
. "$TESTS/bench/contenders.sh"

REQUESTS=${REQUESTS:-2000} # of small requests
APART=133            # the 4 KiB blocks from one written block to the next: never two in one cluster

# stride N: steps of about 0.38 N that come by each of N places before the first one comes again.
stride() {
	awk -v n="$1" 'function gcd(a, b) { return b ? gcd(b, a % b) : a } BEGIN { for (s = int(n * 0.382) + 1; gcd(s, n) != 1; s++); print s }'
}

# qemu-img bench wraps around one request before the image's end.
BLOCKS=$((REQUESTS * APART))
WRITE_STEP=$(($(stride "$REQUESTS") * APART * 4096))
READ_STEP=$(($(stride "$BLOCKS") * 4096))

declare -A text=(
	[fresh]="4 KiB scattered writes, fresh overlay"
	[again]="4 KiB scattered writes, the same again"
	[read]="4 KiB random reads"
	[flush]="4 KiB writes, a flush after each turn"
	[write1M]="1 MiB sequential writes"
	[read1M]="1 MiB sequential reads"
)
WORKLOADS=(fresh again read flush write1M read1M)

arguments() {
	case $1 in
	fresh) echo "-w -s 4096 -c $REQUESTS -S $WRITE_STEP" ;;
	again) echo "-w -s 4096 -c $((4 * REQUESTS)) -S $WRITE_STEP" ;;
	read) echo "-s 4096 -c $((4 * REQUESTS)) -S $READ_STEP" ;;
	flush) echo "-w -s 4096 -c $((REQUESTS / 4)) -S $WRITE_STEP --flush-interval=$depth" ;;
	write1M) echo "-w -s 1M -c $((REQUESTS / 8 + 1))" ;;
	read1M) echo "-s 1M -c $((REQUESTS / 4 + 1))" ;;
	esac
}

# What others have left to be written back is not ours to wait for.
run_workload() {
	local args
	read -ra args <<<"$(arguments "$1")"
	sync -f "$WORK"
	qemu-img bench -t "$cache" -d "$depth" "${args[@]}" "${target[@]}" >"$WORK/bench.out" 2>&1 || { cat "$WORK/bench.out" >&2; return 1; }
	sample "$contender/$1/$cache/$depth" "$(awk '/^Run completed in/ { printf "%.0f", $4 * 1e9 }' "$WORK/bench.out")"
}

turn() {
	local contender=$1 cache=$2 depth=$3
	"${contender}_up" "$cache" && run_workload fresh || return
	[[ $cache/$depth != none/1 ]] || sample "$contender/space" "$("${contender}_space")"
	run_workload again && run_workload read || return
	"${contender}_up" "$cache" && run_workload flush || return
	"${contender}_up" "$cache" && run_workload write1M && run_workload read1M || return
	"${contender}_down"
}

modes() {
	local cache depth
	for cache in none writeback; do
		for depth in 1 16; do "$@" "$cache" "$depth"; done
	done
}

# A table's cell is how many times as fast as `direct` a contender was, and its spread goes to the file of ratios.
table_of_mode() {
	local cache=$1 depth=$2 workload contender row ratio
	printf '\n    cache=%s, %s at a time%s\n' "$cache" "$depth" " (direct: the time of one request; others: times as fast as direct)"
	printf '    %-40s' ""
	printf '%12s' "${here[@]}"
	echo
	for workload in "${WORKLOADS[@]}"; do
		row=$(printf '    %-40s' "${text[$workload]}")
		for contender in "${here[@]}"; do
			if [[ $contender == direct ]]; then
				row+=$(printf '%12s' "$(time_of "$workload" "$cache" "$depth")")
			else
				ratio=$(ratio "$contender/$workload/$cache/$depth" "direct/$workload/$cache/$depth")
				printf '%s\t%s\t%s\t%s\t%s\n' "$cache" "$depth" "$workload" "$contender" "$ratio" >>"$RATIOS"
				row+=$(printf '%12.2f' "${ratio%% *}")
			fi
		done
		echo "$row"
	done
}

time_of() {
	local count
	count=$(arguments "$1" | sed 's/.*-c \([0-9]*\).*/\1/')
	median "direct/$1/$2/$3" | awk -v n="$count" '{ ns = $1 / n; if (ns < 1e6) printf "%.0f us", ns / 1e3; else printf "%.2f ms", ns / 1e6 }'
}

# least WHAT THIS OTHER TARGET WORKLOAD...: the worst of these workloads in all modes decides.
least() {
	local what=$1 this=$2 other=$3 target=$4 worst="" where="" name value verdict=""
	shift 4
	is_here "$this" && is_here "$other" || return
	for name; do
		value=$(ratio "$this/$name" "$other/$name")
		value=${value%% *}
		if [[ -z $worst ]] || awk "BEGIN { exit !($value < $worst) }"; then worst=$value where=$name; fi
	done
	! awk "BEGIN { exit !($worst < $target) }" || verdict="  MISSED"
	printf '    %-64s %8.2f  >= %-5s%s\n' "$what" "$worst" "$target" "$verdict"
	[[ -z $verdict || $# == 1 ]] || echo "        the least of them is $where"
}

is_here() {
	[[ " ${here[*]} " == *" $1 "* ]]
}

all_modes_of() {
	local workload
	for workload; do modes printf "$workload/%s/%s\n"; done
}

targets() {
	local small large all
	mapfile -t small < <(all_modes_of fresh again read flush)
	mapfile -t large < <(all_modes_of write1M read1M)
	all=("${small[@]}" "${large[@]}")
	printf '\n    %-64s %8s  %s\n' "Targets: the least of the medians" "ratio" "target"
	least "passthrough / direct, every workload" passthrough direct 0.95 "${all[@]}"
	least "served / direct, 4 KiB" served direct 0.5 "${small[@]}"
	least "served / direct, 1 MiB" served direct 0.7 "${large[@]}"
	for contender in passthrough served; do
		least "$contender / default, scattered writes, fresh" "$contender" default 2 fresh/{none,writeback}/{1,16}
		least "$contender / default, write + flush, cache=writeback" "$contender" default 3 flush/writeback/{1,16}
		least "default's space / $contender's, after the scattered writes" "$contender" default 10 space
		least "$contender / nbdkit, every workload" "$contender" nbdkit 1 "${all[@]}"
		least "$contender / qsd, every workload" "$contender" qsd 1 "${all[@]}"
	done
}

plot() {
	command -v gnuplot >/dev/null || { echo "    no plot: gnuplot is missing"; return; }
	local columns
	columns=$(printf '%s\n' "${here[@]}" | grep -cv direct)
	modes plot_data
	gnuplot -e "data='$WORK/plot'; out='$OUTPUT/io.svg'; n=$columns; titles='${here[*]:1}'" "$TESTS/bench/io.gnuplot" &&
		echo "    plot: $OUTPUT/io.svg"
}

plot_data() {
	awk -F '[\t ]' -v cache="$1" -v depth="$2" '
		$1 == cache && $2 == depth { if (!($3 in row)) order[++n] = $3; row[$3] = row[$3] " " $5 " " $6 " " $7 }
		END { for (i = 1; i <= n; i++) print order[i] row[order[i]] }' "$RATIOS" >"$WORK/plot.$1.$2"
}

# One daemon or server at a time; each contender begins a round once.
play() {
	local mode i contender
	for mode in none:1 none:16 writeback:1 writeback:16; do
		for ((i = 0; i < ${#here[@]}; i++)); do
			contender=${here[(i + round) % ${#here[@]}]}
			turn "$contender" "${mode%:*}" "${mode#*:}" || { echo "bench: $contender failed" >&2; exit 1; }
		done
	done
}

RATIOS=$OUTPUT/io.ratios.tsv
: >"$RATIOS"
make_base $((BLOCKS + 1)) || exit
here=()
for contender in "${CONTENDERS[@]}"; do
	if missing=$("${contender}_is_here"); then here+=("$contender"); else echo "    without '$contender': $missing"; fi
done
for ((round = 0; round < ROUNDS; round++)); do play; done

title "A guest's reads and writes through QEMU; $((BLOCKS / 256)) MiB raw image; $(versions)"
for contender in "${here[@]}"; do printf '    %-12s %s\n' "$contender" "$(contender_text "$contender")"; done
modes table_of_mode
printf '\n    %-40s' "space after the scattered writes, MiB"
for contender in "${here[@]}"; do printf '%12.1f' "$(median "$contender/space" | awk '{ print $1 / 1048576 }')"; done
echo
targets
plot
