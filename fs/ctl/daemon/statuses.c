/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "statuses.h"

#include <errno.h>
#include <stdlib.h>

#include "ask.h"
#include "status_json.h"

void statuses_clear(struct statuses *statuses)
{
	for (size_t i = 0; i < statuses->count; i++)
		json_object_put(statuses->items[i].status);
	free(statuses->items);
	*statuses = (struct statuses){ 0 };
}

static void take_answer(struct question *question, struct mount_status *item)
{
	item->error = question->error;
	item->why = question->why;
	if (!question->answer)
		return;
	item->error = answer_parse(question->answer, &item->status);
	if (item->error < 0)
		report(&item->why, 0, "the status of the revertfs in '%s' makes no sense; see its log",
		       item->mount->point);
	free(question->answer);
}

int statuses_ask(const struct mounts *mounts, struct statuses *ret_statuses, struct sentence *error)
{
	CLEANUP(freep) struct question *questions = NULL;
	size_t count = 0;

	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m))
		count++;
	questions = calloc(count + 1, sizeof(*questions));
	*ret_statuses = (struct statuses){ .mounts = mounts, .items = calloc(count + 1, sizeof(struct mount_status)) };
	if (!questions || !ret_statuses->items)
		return report(error, -ENOMEM, "out of memory");
	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m)) {
		ret_statuses->items[ret_statuses->count].mount = m;
		questions[ret_statuses->count++] = (struct question){ .point = m->point,
								      .file = "status.json",
								      .timeout_ms = STATUSES_TIMEOUT_MS };
	}
	client_ask(questions, count, true);
	for (size_t i = 0; i < count; i++)
		take_answer(&questions[i], &ret_statuses->items[i]);
	return 0;
}

struct json_object *statuses_find(const struct statuses *statuses, const struct mount *mount, const char *name)
{
	struct json_object *disk = NULL;

	for (size_t i = 0; i < statuses->count; i++)
		if (statuses->items[i].mount == mount && statuses->items[i].status &&
		    ask_find_disk(statuses->items[i].status, name, &disk, NULL) == 0)
			return disk;
	return NULL;
}

size_t statuses_count(const struct statuses *statuses, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < statuses->count; i++)
		count += statuses_find(statuses, statuses->items[i].mount, name) != NULL;
	return count;
}
