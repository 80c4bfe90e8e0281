/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot: keep what was written to a disk, under a name. With --live, of all disks of a domain.
 */
#include "live_command.h"
#include "subcommands.h"
#include "verbs.h"

static int run_live_snapshot(const struct context *context, const struct arguments *arguments, struct live_plan *plan,
			     struct sentence *error)
{
	CLEANUP(live_result_clear) struct live_result result = { 0 };
	CLEANUP(json_putp) struct json_object *description = NULL;
	struct virsh virsh = { .uri = context->connect };
	int r;

	plan->snapshot = arguments->words[1];
	r = served_domain_find(&virsh, plan->domain, &result.domain, error);
	if (r == 0)
		r = live_snapshot(&virsh, plan, &result, error);
	if (r < 0)
		return r;
	live_command_say(context, plan, &result);
	description = live_command_describe(plan, &result);
	if (context->json)
		print_json(description);
	return 0;
}

static int run_snapshot(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	struct live_plan plan = { 0 };
	int r = live_command_parse(arguments, &plan, error);

	if (r < 0)
		return r;
	return arguments_has(arguments, "live") ? run_live_snapshot(context, arguments, &plan, error)
						: verb_run(context, arguments, error);
}

static const struct option_spec snapshot_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	LIVE_COMMAND_OPTIONS,
	{ 0 },
};
const struct subcommand snapshot_subcommand = {
	"snapshot", "NAME POINT", "keep what was written, and name it", snapshot_options, run_snapshot, "snapshot made",
};
