/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs of the daemon as subcommands: words and options become one line for the control file.
 */
#ifndef REVERTFS_CTL_DAEMON_VERBS_H
#define REVERTFS_CTL_DAEMON_VERBS_H

#include "arguments.h"
#include "json.h"

/*
 * The line for the daemon: the subcommand's name, its words with `name` as the first, and each
 * option that has a setting. free() it. -EINVAL and the like with a sentence.
 */
int verb_line(const struct arguments *arguments, const char *name, char **ret_line, struct sentence *error);

/* run() of a verb that does not take long: ask, and say what was done. */
int verb_run(const struct context *context, const struct arguments *arguments, struct sentence *error);

/*
 * run() of a verb that takes long; with --detach it does not wait for the end. `kind` and `to` as
 * in long_command.h.
 */
int verb_run_long(const struct context *context, const struct arguments *arguments, const char *kind, const char *to,
		  struct sentence *error);

/* Print an object on one line of stdout. */
void print_json(struct json_object *object);

/*
 * Print the daemon's answer on stdout: in words, which begin with `name` and `done`; with --json as
 * it is. A warning goes to stderr.
 */
void verb_print(const struct context *context, const struct arguments *arguments, const char *name, const char *done,
		struct json_object *answer);

/* In words, what the answer says besides, as "; ...": verb_print() prints that, too. */
void verb_print_more(const struct arguments *arguments, struct json_object *answer);

/*
 * A path as the daemon wants it: absolute, its directory without links and "..". The directory must
 * exist, the file need not. free() it; NULL with a sentence.
 */
char *absolute_path(const char *path, struct sentence *error);

#endif
