/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What snapshot --live and export --live have in common: options, and how results are printed.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_COMMAND_H
#define REVERTFS_CTL_LIVE_LIVE_COMMAND_H

#include "arguments.h"
#include "live_snapshot.h"

/* Rows for a table of options: --live, and the options that belong to it. */
#define LIVE_COMMAND_OPTIONS                                                                                \
	{ "live", NULL, "NAME is a domain: all its protected disks at one\ninstant, while it runs", NULL }, \
		{ "quiesce", "[=require]",                                                                  \
		  "have the guest's agent freeze its filesystems first;\nrequire: or make nothing", NULL }, \
	{                                                                                                   \
		"freeze-timeout", "S", "seconds after which the guest goes on in any case (30)", NULL       \
	}

/*
 * The domain, how to quiesce it, and how long; -EINVAL with a sentence when an option makes no
 * sense, as without --live.
 */
int live_command_parse(const struct arguments *arguments, struct live_plan *plan, struct sentence *error);

/*
 * Print a warning on stderr, if there is one, and, unless --json, the snapshot on stdout. And the
 * same as an object, to release with json_object_put().
 */
void live_command_say(const struct context *context, const struct live_plan *plan, const struct live_result *result);
struct json_object *live_command_describe(const struct live_plan *plan, const struct live_result *result);

#endif
