/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reply.h"

#include "json.h"

void reply_commit(struct json_object *answer, const struct commit_result *result)
{
	json_set_string(answer, "layer", result->layer[0] ? result->layer : NULL);
	if (result->warning.text[0])
		json_set_string(answer, "warning", result->warning.text);
}

void reply_live(struct json_object *answer, const struct live_result *result)
{
	json_set_string(answer, "layer", result->layer);
	json_object_object_add(answer, "copy_ms", json_object_new_double(result->copy_ms));
	json_set_bool(answer, "reflink", result->reflink);
	if (result->was_copied)
		json_set_u64(answer, "bytes", result->bytes);
	json_set_string(answer, "consistency", result->consistency);
}

void reply_move(struct json_object *answer, const struct move_result *result)
{
	if (result->scratch[0])
		json_set_string(answer, "aside", result->scratch);
	if (result->head[0])
		json_set_string(answer, "point", result->head);
}

void reply_clone(struct json_object *answer, const struct sentence *missing)
{
	if (!missing->text[0])
		return;
	json_set_bool(answer, "uncommitted", true);
	json_set_string(answer, "warning", missing->text);
}

void reply_export(struct json_object *answer, const struct export_request *request, const struct export_result *result)
{
	if (!result->to)
		return;
	if (!request->snapshot && !request->held) {
		json_set_bool(answer, "uncommitted", result->uncommitted);
		json_set_bool(answer, "held", result->held);
	}
	json_set_string(answer, "to", result->to);
	json_set_string(answer, "layer", result->layer);
	if (result->job)
		json_set_u64(answer, "job", result->job);
	if (!result->file.consistency[0])
		return;
	json_set_string(answer, "sha256", result->file.sha256[0] ? result->file.sha256 : NULL);
	json_set_u64(answer, "bytes", result->file.bytes);
	json_set_u64(answer, "allocated", result->file.allocated);
	json_set_string(answer, "consistency", result->file.consistency);
}

static struct json_object *describe_participant(const struct participant_result *result)
{
	struct json_object *entry = json_object_new_object();

	json_set_string(entry, "name", disk_name(result->disk));
	json_set_string(entry, "target", result->target);
	json_set_string(entry, "action", result->action);
	json_set_bool(entry, "consumed", result->consumed);
	if (result->snapshot[0])
		json_set_string(entry, "point", result->snapshot);
	if (result->warning.text[0])
		json_set_string(entry, "warning", result->warning.text);
	return entry;
}

void reply_session(struct json_object *answer, const struct session_result *result)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < result->count; i++)
		json_object_array_add(list, describe_participant(&result->list[i]));
	json_object_object_add(answer, "disks", list);
}

void reply_restarted(struct json_object *answer, const struct once_result *result, bool is_live)
{
	json_set_bool(answer, "restarted", true);
	if (result->layer[0])
		json_set_string(answer, "layer", result->layer);
	if (is_live)
		json_set_string(answer, "consistency", result->consistency[0] ? result->consistency : "clean");
	if (result->warning.text[0])
		json_set_string(answer, "warning", result->warning.text);
	reply_move(answer, &result->kept);
}
