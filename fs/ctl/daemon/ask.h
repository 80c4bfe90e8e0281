/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking a daemon: which mount, one command line, the JSON answer.
 *
 * A line is made with command_append() (command.h), which quotes:
 *
 *	command_append(&line, NULL, "snapshot");
 *	command_append(&line, NULL, name);
 *	command_append(&line, "live", "yes");
 *
 * Only child processes touch the mount (client.h), so that a daemon that hangs is an error after a
 * while.
 */
#ifndef REVERTFS_CTL_DAEMON_ASK_H
#define REVERTFS_CTL_DAEMON_ASK_H

#include "client.h"
#include "json.h"
#include "mounts.h"
#include "subcommand.h"

#define MOUNTINFO "/proc/self/mountinfo"
#define ASK_TIMEOUT_MS 30000 /* for commands that do not take long */
#define LOOK_TIMEOUT_MS 3000

/*
 * The revertfs mounts, as of now; free with mounts_free(). -ENOTCONN with a sentence when there is
 * none.
 */
int ask_mounts(struct mounts **ret_mounts, struct sentence *error);

/*
 * The mount that a disk's name belongs to: the one of --mount; or the one in which an absolute path
 * lies, or whose images directory has it; or the only one there is; or the only one that has a disk
 * of this name (which_mount.h). -ENOTCONN, -ETIMEDOUT, -ENOENT or -EINVAL with a sentence when none
 * can be chosen.
 *
 * *ret_point is the mount, *ret_name the disk's name in it; free() both. `name` may be NULL, and
 * then *ret_name is NULL; ret_name may be NULL where the name is not wanted.
 */
int ask_find_mount(const struct context *context, const char *name, char **ret_point, char **ret_name,
		   struct sentence *error);

/* The same for the name of an image that is still to become a disk. */
int ask_find_mount_of_image(const struct context *context, const char *name, char **ret_point, char **ret_name,
			    struct sentence *error);

/* The part of a path behind a directory that the path lies beneath (path_is_beneath()). */
const char *name_beneath(const char *path, const char *directory);

/*
 * Send a command line and wait for the answer, timeout_ms at most. A refusal is the daemon's errno
 * with its sentence, and leaves *ret_answer alone. Release the answer with json_object_put().
 */
int ask(const char *point, const char *line, unsigned timeout_ms, struct json_object **ret_answer,
	struct sentence *error);

/*
 * The answer to a question that client_ask() or client_take() has settled, as of ask(): for callers
 * that ask several questions at once.
 */
int ask_result(const struct question *question, struct json_object **ret_answer, struct sentence *error);

/*
 * Reap child processes that have ended. Callers with a poll loop of their own call this now and
 * then.
 */
void ask_reap(void);

/*
 * The daemon's status.json, to release with json_object_put(). And one disk in it, which is
 * borrowed: -ENOENT with a sentence when there is no such disk.
 */
int ask_status(const char *point, struct json_object **ret_status, struct sentence *error);

/*
 * Have the daemon look at the image of the disk (NULL: of all disks), which the status alone does
 * not: its image_trouble is then what stands against a start now. Where that cannot be had, as with
 * an image that hangs, the status has what was seen before.
 */
void ask_look(const char *point, const char *name);
int ask_find_disk(struct json_object *status, const char *name, struct json_object **ret_disk, struct sentence *error);

#endif
