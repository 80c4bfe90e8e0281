/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemon, or something else that is called so, answers to the hook.
 */
#include "corpus.h"

#include "answer.h"

CORPUS(answer, "answer", any_answer_is_refused_or_complete)

static void feed_answer(const void *data, size_t size)
{
	char *text = copy_of(data, size);
	struct sentence error = { "" };
	struct answer *answer = NULL;

	if (answer_parse(text, &answer, &error) == 0)
		for (size_t i = 0; i < answer->count; i++)
			check(answer->disks[i].name && answer->disks[i].target && answer->disks[i].action);
	else
		check(!answer && *error.text);
	answer_free(answer);
	free(text);
}
