/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * {"ok":true,"disks":[{"name":"win10.qcow2","target":"vda","action":"reset"}]}, or
 * {"ok":false,"errno":"EBUSY","error":"a sentence"}. Unknown members are ignored.
 */
#include "answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void answer_freep(struct answer **answer)
{
	answer_free(*answer);
}

void answer_free(struct answer *answer)
{
	if (!answer)
		return;
	json_object_put(answer->json);
	free(answer->disks);
	free(answer);
}

static int refusal_of(struct json_object *json, struct sentence *error)
{
	const char *words = NULL, *name = "EIO";

	if (json_get_string(json, "errno", &name) < 0 || json_get_string(json, "error", &words) < 0)
		return report(error, -EBADMSG, "the revertfs daemon refused, in words that make no sense; see its log");
	if (!words || !*words)
		return report(error, -EIO, "the revertfs daemon refused with %s; see its log", name);
	return report(error, -EIO, "%s", words);
}

static int read_disk(struct json_object *json, struct answer_disk *disk)
{
	*disk = (struct answer_disk){ .name = "", .target = "", .action = "" };
	if (json_get_string(json, "name", &disk->name) < 0 || json_get_string(json, "target", &disk->target) < 0 ||
	    json_get_string(json, "action", &disk->action) < 0 || json_get_string(json, "point", &disk->point) < 0 ||
	    json_get_string(json, "warning", &disk->warning) < 0 ||
	    json_get_bool(json, "consumed", &disk->consumed) < 0)
		return -EBADMSG;
	return 0;
}

static int read_disks(struct answer *answer)
{
	struct json_object *list = NULL;
	int r = json_get_array(answer->json, "disks", &list);

	if (r <= 0)
		return r;
	answer->disks = calloc(json_object_array_length(list) + 1, sizeof(*answer->disks));
	if (!answer->disks)
		return -ENOMEM;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		r = read_disk(json_object_array_get_idx(list, i), &answer->disks[i]);
		if (r < 0)
			return r;
		answer->count++;
	}
	return 0;
}

int answer_parse(const char *text, struct answer **ret_answer, struct sentence *error)
{
	CLEANUP(answer_freep) struct answer *answer = calloc(1, sizeof(*answer));
	bool good = false;
	int r;

	if (!answer)
		return report(error, -ENOMEM, "out of memory");
	r = json_parse(text, strlen(text), &answer->json, NULL);
	if (r == 0)
		r = json_get_bool(answer->json, "ok", &good);
	if (r > 0 && !good)
		return refusal_of(answer->json, error);
	if (r == 0)
		r = -EBADMSG;
	if (r > 0)
		r = read_disks(answer);
	if (r < 0)
		return report(error, r, "the revertfs daemon gave an answer that makes no sense; see its log");
	*ret_answer = steal_pointer(&answer);
	return 0;
}
