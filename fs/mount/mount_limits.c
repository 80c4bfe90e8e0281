/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In sixteenths of the descriptors: 5 and 3 for nodes, 2 and 1 for handles, 2 for disks. 3 are
 * left. Of handles no more than the handover has slots for, or some would not outlive the daemon.
 */
#include "mount_limits.h"

#include <sys/resource.h>

#include "handover.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct limits limits_of(uint64_t descriptors)
{
	uint64_t part = least(descriptors, HANDOVER_NODES) / 16, slots = HANDOVER_HANDLES / 8;

	return (struct limits){
		.nodes = 5 * part,
		.root_nodes = 3 * part,
		.handles = least(2 * part, 3 * slots),
		.root_handles = least(part, slots),
		.disk_handles = least(part, 2 * slots),
		.kept_disk_handles = least(part, 2 * slots),
		.texts = 32 * MIB,
		.root_texts = 32 * MIB,
		.listings = 16 * MIB,
	};
}

struct limits limits_now(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	return limits_of(limit.rlim_cur);
}
