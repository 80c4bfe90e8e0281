/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reply.h"

#include "json.h"

void reply_export(struct json_object *answer, const struct export_request *request, const struct export_result *result)
{
	if (!result->to)
		return;
	if (!request->snapshot)
		json_set_bool(answer, "uncommitted", result->uncommitted);
	json_set_string(answer, "to", result->to);
	json_set_string(answer, "layer", result->layer);
	if (result->job)
		json_set_u64(answer, "job", result->job);
	if (!result->file.sha256[0])
		return;
	json_set_string(answer, "sha256", result->file.sha256);
	json_set_u64(answer, "bytes", result->file.bytes);
	json_set_u64(answer, "allocated", result->file.allocated);
	json_set_string(answer, "consistency", result->file.consistency);
}
