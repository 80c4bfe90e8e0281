/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking a daemon: which mount, one command line, its JSON answer.
 *
 * A line is made with command_append() (command.h), which quotes:
 *
 *	command_append(&line, NULL, "snapshot");
 *	command_append(&line, NULL, name);
 *	command_append(&line, "live", "yes");
 *
 * Nothing here touches the mount itself. A child process does that (client.h), so that a daemon
 * that hangs is an error after a while.
 */
#ifndef REVERTFS_CTL_DAEMON_ASK_H
#define REVERTFS_CTL_DAEMON_ASK_H

#include "client.h"
#include "json.h"
#include "mounts.h"
#include "subcommand.h"

#define MOUNTINFO "/proc/self/mountinfo"
#define ASK_TIMEOUT_MS 30000 /* for what does not take long */

/*
 * The revertfs mounts, as of now. -ENOTCONN with a sentence when there is none. Free with
 * mounts_free().
 */
int ask_mounts(struct mounts **ret_mounts, struct sentence *error);

/*
 * The mount that a disk's name belongs to: --mount; or the one in which an absolute path lies, or
 * whose images directory holds it; or the only one there is. *ret_name is the disk's name in it
 * (free() it). `name` may be NULL, and then so is *ret_name. *ret_point is free()d by the caller.
 */
int ask_find_mount(const struct context *context, const char *name, char **ret_point, char **ret_name,
		   struct sentence *error);

/*
 * Ask, and take the answer apart. A refusal is the daemon's errno with its sentence; *ret_answer is
 * then left alone. json_put() the answer.
 */
int ask(const char *point, const char *line, unsigned timeout_ms, struct json_object **ret_answer,
	struct sentence *error);

/*
 * The same of a question that client_ask() or client_take() has settled; for asking several at
 * once.
 */
int ask_result(const struct question *question, struct json_object **ret_answer, struct sentence *error);

/* The children of questions that were settled; to be called now and then by who asks many. */
void ask_reap(void);

/*
 * The daemon's status.json; and one disk of it (borrowed), -ENOENT with a sentence when there is
 * none.
 */
int ask_status(const char *point, struct json_object **ret_status, struct sentence *error);
int ask_find_disk(struct json_object *status, const char *name, struct json_object **ret_disk, struct sentence *error);

#endif
