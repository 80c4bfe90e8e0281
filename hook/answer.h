/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon's answer, checked.
 */
#ifndef REVERTFS_HOOK_ANSWER_H
#define REVERTFS_HOOK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

/* What was done to one disk. Strings are borrowed from the answer. */
struct answer_disk {
	const char *name;   /* in the mount */
	const char *target; /* in the domain */
	const char *action;
	const char *point;   /* the name of what was sealed aside, or NULL */
	const char *warning; /* a sentence, or NULL */
	bool consumed;       /* prepare: its one-shot-commit was for an earlier session, and is used up */
};

struct answer {
	struct json_object *json;
	struct answer_disk *disks;
	size_t count;
};

/*
 * Read an answer. A refusal is -EIO with the daemon's sentence; a text that is no answer is
 * -EBADMSG. Free with answer_free().
 */
int answer_parse(const char *text, struct answer **ret_answer, struct sentence *error);
void answer_free(struct answer *answer); /* NULL is fine */

#endif
