/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words for why a domain ended. They are libvirt's own.
 */
#include "domain_request.h"

#include <errno.h>
#include <string.h>

static const char *const reason_names[] = {
	[REASON_UNKNOWN] = "unknown", [REASON_SHUTDOWN] = "shutdown",           [REASON_DESTROYED] = "destroyed",
	[REASON_CRASHED] = "crashed", [REASON_MIGRATED] = "migrated",           [REASON_SAVED] = "saved",
	[REASON_FAILED] = "failed",   [REASON_FROM_SNAPSHOT] = "from snapshot", [REASON_DAEMON] = "daemon",
};

const char *end_reason_name(enum end_reason reason)
{
	return reason_names[reason];
}

int end_reason_parse(const char *text, enum end_reason *ret_reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(reason_names); i++)
		if (strcmp(text, reason_names[i]) == 0) {
			*ret_reason = (enum end_reason)i;
			return 0;
		}
	return -EINVAL;
}
