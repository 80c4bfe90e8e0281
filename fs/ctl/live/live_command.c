/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of a live snapshot, and its result in words and as JSON. Nothing here asks a daemon
 * or libvirt.
 */
#include "live_command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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

int live_command_parse(const struct arguments *arguments, struct live_plan *plan, struct sentence *error)
{
	int r = parse_quiesce(arguments, &plan->quiesce, error);

	if (!arguments_has(arguments, "live") &&
	    (arguments_has(arguments, "quiesce") || arguments_has(arguments, "freeze-timeout")))
		return report(error, -EINVAL, "--quiesce and --freeze-timeout are for --live");
	plan->domain = arguments->words[0];
	plan->note = arguments_value(arguments, "note");
	return r < 0 ? r
		     : arguments_number(arguments, "freeze-timeout", 1, 3600, LIVE_TIMEOUT_S, &plan->timeout_s, error);
}

static void describe_times(struct json_object *object, const struct live_result *result)
{
	if (!result->was_paused)
		return;
	json_object_object_add(object, "paused_ms", json_object_new_double(result->times.paused_ms));
	json_object_object_add(object, "frozen_ms", json_object_new_double(result->times.frozen_ms));
	json_set_bool(object, "frozen_by_others", result->was_frozen);
}

struct json_object *live_command_describe(const struct live_plan *plan, const struct live_result *result)
{
	struct json_object *object = json_object_new_object(), *disks = json_object_new_array();

	json_set_bool(object, "ok", true);
	json_set_string(object, "domain", plan->domain);
	json_set_string(object, "point", plan->snapshot);
	if (result->answers) {
		json_set_string(object, "consistency", result->consistency);
		json_set_string(object, "not_quiesced", result->warning.text[0] ? result->warning.text : NULL);
	}
	describe_times(object, result);
	for (size_t i = 0; i < result->domain.count; i++) {
		const struct served_disk *disk = &result->domain.disks[i];
		struct json_object *entry =
			result->answers ? json_object_get(result->answers[i]) : json_object_new_object();

		json_object_object_del(entry, "ok");
		json_set_string(entry, "target", disk->target);
		json_set_string(entry, "mount", disk->point);
		json_set_string(entry, "disk", disk->name);
		json_object_array_add(disks, entry);
	}
	json_object_object_add(object, "disks", disks);
	return object;
}

void live_command_say(const struct context *context, const struct live_plan *plan, const struct live_result *result)
{
	if (result->warning.text[0])
		fprintf(stderr, "revertctl: warning: not quiesced: %s\n", result->warning.text);
	if (context->json)
		return;
	printf("%s: snapshot '%s' of", plan->domain, plan->snapshot);
	for (size_t i = 0; i < result->domain.count; i++)
		printf("%s %s", i ? "," : "", result->domain.disks[i].target);
	printf(" is %s", result->consistency);
	if (result->was_paused)
		printf("; the guest was paused for %.0f ms", result->times.paused_ms);
	if (result->times.frozen_ms > 0)
		printf(", its filesystems frozen for %.0f ms", result->times.frozen_ms);
	if (result->was_frozen)
		printf("; somebody else had frozen its filesystems, and they still are");
	printf("\n");
}
