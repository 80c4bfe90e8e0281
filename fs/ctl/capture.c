/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * snapshot and export: what keeps a state of a disk, named or copied out. With --live, of all disks of a domain.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "live.h"
#include "subcommands.h"
#include "verbs.h"

static int parse_quiesce(const struct arguments *arguments, enum quiesce *ret_quiesce, struct sentence *error)
{
	const char *how = arguments_value(arguments, "quiesce");

	*ret_quiesce = QUIESCE_NO;
	if (!arguments_has(arguments, "quiesce"))
		return 0;
	if (how && strcmp(how, "require") != 0)
		return report(error, -EINVAL, "'--quiesce=%s': it is --quiesce, or --quiesce=require", how);
	*ret_quiesce = how ? QUIESCE_REQUIRE : QUIESCE_TRY;
	return 0;
}

static int parse_live(const struct arguments *arguments, struct live_plan *plan, struct sentence *error)
{
	int r = parse_quiesce(arguments, &plan->quiesce, error);

	plan->domain = arguments->words[0];
	plan->note = arguments_value(arguments, "note");
	return r < 0 ? r
		     : arguments_number(arguments, "freeze-timeout", 1, 3600, LIVE_TIMEOUT_S, &plan->timeout_s, error);
}

static struct json_object *describe(const struct live_plan *plan, const struct live_result *result)
{
	struct json_object *object = json_object_new_object(), *disks = json_object_new_array();

	json_set_bool(object, "ok", true);
	json_set_string(object, "domain", plan->domain);
	json_set_string(object, "point", plan->point);
	json_set_string(object, "consistency", result->consistency);
	json_set_string(object, "not_quiesced", result->warning.text[0] ? result->warning.text : NULL);
	json_object_object_add(object, "paused_ms", json_object_new_double(result->times.paused_ms));
	json_object_object_add(object, "frozen_ms", json_object_new_double(result->times.frozen_ms));
	for (size_t i = 0; i < result->domain.count; i++) {
		const struct served_disk *disk = &result->domain.disks[i];
		struct json_object *entry = json_object_get(result->answers[i]);

		json_object_object_del(entry, "ok");
		json_set_string(entry, "target", disk->target);
		json_set_string(entry, "mount", disk->point);
		json_set_string(entry, "disk", disk->name);
		json_object_array_add(disks, entry);
	}
	json_object_object_add(object, "disks", disks);
	return object;
}

static void print_live(const struct live_plan *plan, const struct live_result *result)
{
	printf("%s: snapshot '%s' of", plan->domain, plan->point);
	for (size_t i = 0; i < result->domain.count; i++)
		printf("%s %s", i ? "," : "", result->domain.disks[i].target);
	printf(" is %s", result->consistency);
	if (result->was_paused)
		printf("; the guest was paused for %.0f ms", result->times.paused_ms);
	if (result->times.frozen_ms > 0)
		printf(", its filesystems frozen for %.0f ms", result->times.frozen_ms);
	printf("\n");
}

static int run_live_snapshot(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(live_result_clear) struct live_result result = { 0 };
	CLEANUP(json_putp) struct json_object *description = NULL;
	struct live_plan plan = { .point = arguments->words[1] };
	struct virsh virsh = { .uri = context->connect };
	int r = parse_live(arguments, &plan, error);

	if (r == 0)
		r = live_snapshot(&virsh, &plan, &result, error);
	if (r < 0)
		return r;
	if (result.warning.text[0])
		fprintf(stderr, "revertctl: warning: not quiesced: %s\n", result.warning.text);
	description = describe(&plan, &result);
	if (context->json)
		print_json(description);
	else
		print_live(&plan, &result);
	return 0;
}

static int run_snapshot(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	if (arguments_has(arguments, "live"))
		return run_live_snapshot(context, arguments, error);
	if (arguments_has(arguments, "quiesce") || arguments_has(arguments, "freeze-timeout"))
		return report(error, -EINVAL, "--quiesce and --freeze-timeout are for --live");
	return verb_run(context, arguments, error);
}

static const struct option_spec snapshot_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	{ "live", NULL, "NAME is a domain: all its protected disks at one\ninstant, while it runs", NULL },
	{ "quiesce", "[=require]", "have the guest's agent freeze its filesystems first;\nrequire: or make nothing",
	  NULL },
	{ "freeze-timeout", "S", "seconds after which the guest goes on in any case (30)", NULL },
	{ 0 },
};
const struct subcommand snapshot_subcommand = {
	"snapshot", "NAME POINT", "keep what was written, and name it", snapshot_options, run_snapshot, "snapshot made",
};

static int run_export(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	const char *to = arguments_value(arguments, "to");
	CLEANUP(freep) char *path = NULL;

	if (!to)
		return report(error, -EINVAL, "export wants --to=FILE");
	path = absolute_path(to, error);
	return path ? verb_run_long(context, arguments, "export", path, error) : -ENOENT;
}

static const struct option_spec export_options[] = {
	{ "to", "FILE", "the copy; FILE.json beside it describes it", "to=" },
	{ "point", "POINT", "of this snapshot, instead of the head", "point=" },
	{ "format", "qcow2|raw", "of the copy", "format=" },
	{ "compress", NULL, "qcow2 alone: smaller, and slower", "compress=yes" },
	{ "rate", "BYTES", "at most so many bytes a second: 50M", "rate=" },
	{ "replace", NULL, "overwrite FILE", "replace=yes" },
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand export_subcommand = {
	"export", "NAME", "a flat copy of a disk, or of a snapshot", export_options, run_export, "exported",
};
