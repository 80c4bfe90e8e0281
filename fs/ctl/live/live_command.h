/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What snapshot --live and export --live have in common on the command line, and what they say.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_COMMAND_H
#define REVERTFS_CTL_LIVE_LIVE_COMMAND_H

#include "arguments.h"
#include "live_snapshot.h"

/* Rows for a table of options; they belong to --live. */
#define LIVE_COMMAND_OPTIONS                                                                                \
	{ "live", NULL, "NAME is a domain: all its protected disks at one\ninstant, while it runs", NULL }, \
		{ "quiesce", "[=require]",                                                                  \
		  "have the guest's agent freeze its filesystems first;\nrequire: or make nothing", NULL }, \
	{                                                                                                   \
		"freeze-timeout", "S", "seconds after which the guest goes on in any case (30)", NULL       \
	}

/* The domain, how, and how long; -EINVAL with a sentence when there is no --live for it. */
int live_command_parse(const struct arguments *arguments, struct live_plan *plan, struct sentence *error);

/*
 * A warning on stderr, if there is one; for people, what it came to, on stdout; and the same as an
 * object.
 */
void live_command_say(const struct context *context, const struct live_plan *plan, const struct live_result *result);
struct json_object *live_command_describe(const struct live_plan *plan, const struct live_result *result);

#endif
