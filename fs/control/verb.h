/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line of the control file while it is being done, and the verbs: control.c finds the verb and
 * checks its words, disk_verbs.c and domain_verbs.c read what they mean (words.c) and call what
 * does it.
 */
#ifndef REVERTFS_CONTROL_VERB_H
#define REVERTFS_CONTROL_VERB_H

#include <json-c/json.h>

#include "caller.h"
#include "command.h"
#include "disks.h"
#include "once.h"

struct request {
	struct disks *disks;
	struct caller *caller;
	const struct command *command;
	struct json_object *answer; /* what the verb has to say besides "ok" */
	unsigned line;              /* of its write, from 0 */
	char *name;                 /* the disk, relative to the mount; NULL when the verb names none */
};

#define WORDS_ANY SIZE_MAX

struct verb {
	const char *name;
	size_t words;            /* how many names it takes; WORDS_ANY: it looks at its words itself */
	const char *const *keys; /* the settings that it takes, up to NULL; no list: it looks itself */
	enum effect effect;
	int (*run)(const struct request *request, struct sentence *error);
};

const struct verb *verb_find(const char *name); /* NULL when there is none of that name */

int verb_announce(const struct request *request, struct sentence *error);
int verb_prepare(const struct request *request, struct sentence *error);
int verb_check(const struct request *request, struct sentence *error);
int verb_release(const struct request *request, struct sentence *error);
int verb_arm(const struct request *request, struct sentence *error);

/* The value of `key=`, borrowed, or NULL. */
const char *find_setting(const struct command *command, const char *key);

/*
 * As yes or no; *ret_value stays what it is where the setting is absent. -EINVAL with a sentence.
 */
int find_flag(const struct command *command, const char *key, bool *ret_value, struct sentence *error);
int parse_flag(const struct command_word *word, bool *ret_value, struct sentence *error);

/*
 * The name in the mount that a word means: relative to the mount's root, or an absolute path that
 * begins with the mount's own path. The caller frees it. -EINVAL or -ENAMETOOLONG with a sentence.
 */
int relative_name(const struct disks *disks, const char *word, char **ret_name, struct sentence *error);

#endif
