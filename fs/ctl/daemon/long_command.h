/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command that takes the daemon long: send it, show how far it is, and have it cancelled by
 * Ctrl-C.
 */
#ifndef REVERTFS_CTL_DAEMON_LONG_COMMAND_H
#define REVERTFS_CTL_DAEMON_LONG_COMMAND_H

#include "ask.h"

struct long_command {
	const char *point; /* the mount */
	const char *name;  /* the disk whose job it is */
	const char *line;  /* the command, which returns when the job has ended */
	const char *kind;  /* as the status calls it: "fold", "export", "clone" */
	const char *to;    /* what the job makes, as the status calls it; NULL: a fold */
	bool quiet;        /* show no progress */
};

/*
 * As ask(), without a deadline. -EINTR with a sentence when Ctrl-C has cancelled the command; a
 * second Ctrl-C does not wait for the cancellation. Progress goes to stderr: a bar on a terminal,
 * elsewhere a line for each tenth.
 */
int long_command_run(const struct long_command *long_command, struct json_object **ret_answer, struct sentence *error);

#endif
