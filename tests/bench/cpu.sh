#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the daemon's threads compute for each GiB that a guest reads or writes, in both modes. MIB=1024 is how much it does.
. "$BENCHLIB"
. "$TESTS/bench/contenders.sh"

MIB=${MIB:-1024}
TICK=$((1000000000 / $(getconf CLK_TCK)))

# User and system time of all threads, in nanoseconds.
cpu_time() {
	awk -v tick="$TICK" '{ sub(/.*\) /, ""); printf "%.0f", ($12 + $13) * tick }' "/proc/$(daemon_pid)/stat"
}

# do_io NAME ARGUMENTS...
# shellcheck disable=SC2154 # contenders.sh sets $target
do_io() {
	local name=$1 before
	shift
	before=$(cpu_time)
	qemu-img bench -t writeback -d 16 "$@" "${target[@]}" >/dev/null || return
	sample "$contender/$name" $((($(cpu_time) - before) * 1024 / MIB))
}

turn() {
	local contender=$1
	"${contender}_up" writeback &&
		do_io write1M -w -s 1M -c "$MIB" &&
		do_io read1M -s 1M -c "$MIB" &&
		do_io write4k -w -s 4k -c $((MIB * 256)) &&
		do_io read4k -s 4k -c $((MIB * 256)) &&
		"${contender}_down"
}

modes=(passthrough served)
passthrough_is_here || modes=(served)
make_base $((MIB * 256)) || exit
for ((round = 0; round < ROUNDS; round++)); do
	for mode in "${modes[@]}"; do turn "$mode" || exit 1; done
done
title "The daemon's CPU time for each GiB of a guest's I/O (sequential, cache=writeback)"
printf '    %-24s' ""
printf '%14s' "1 MiB writes" "1 MiB reads" "4 KiB writes" "4 KiB reads"
echo
for mode in "${modes[@]}"; do
	printf '    %-24s' "$mode"
	for name in write1M read1M write4k read4k; do printf '%14s' "$(text_of_time "$(median "$mode/$name")")"; done
	echo
done
