#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the daemon holds in memory for 1,000 protected disks, over what it holds for none (receive buffers included in both).
. "$BENCHLIB"
COUNT=${COUNT:-1000}

kib() {
	awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(daemon_pid)/smaps_rollup"
}

# Some requests of each kind, so that all threads and buffers are there.
warm() {
	local i pids=() # not `wait` alone: the daemon is a child too
	for ((i = 0; i < 8; i++)); do
		(dd if=/dev/zero of="$MNT/warm$i" bs=1M count=8 status=none; cat "$MNT/warm$i" >/dev/null; rm "$MNT/warm$i") &
		pids+=($!)
	done
	wait "${pids[@]}"
	status . >/dev/null
}

echo
echo "Memory of the daemon, KiB ($(date -u +%F), Linux $(uname -r))"
printf '    %-44s %12s %12s %12s\n' "" "Private_Dirty" "Pss" "Rss"
for ((i = 0; i < COUNT; i++)); do truncate -s 10G "$IMAGES/disk$i.img"; done

start_daemon || exit 1
warm
none=$(kib Private_Dirty)
printf '    %-44s %12s %12s %12s\n' "no disk" "$none" "$(kib Pss)" "$(kib Rss)"
for ((i = 0; i < COUNT; i++)); do
	ctl "protect disk$i.img format=raw" >/dev/null || exit 1
done
warm
many=$(kib Private_Dirty)
printf '    %-44s %12s %12s %12s\n' "$COUNT disks, just protected" "$many" "$(kib Pss)" "$(kib Rss)"
restart_daemon || exit 1
warm
for ((i = 0; i < COUNT; i++)); do
	ctl "reset disk$i.img" >/dev/null || exit 1
done
again=$(kib Private_Dirty)
printf '    %-44s %12s %12s %12s\n' "$COUNT disks, restarted, each reset" "$again" "$(kib Pss)" "$(kib Rss)"
more=$(((many > again ? many : again) - none))
verdict=
((more <= 16384)) || verdict="  MISSED"
echo "    $COUNT disks take $more KiB ($((more * 1024 / COUNT)) bytes each); target <= 16384$verdict"
printf '0\tnone\t%s\n0\tmany\t%s\n0\tagain\t%s\n' "$none" "$many" "$again" >>"$SAMPLES"
