/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the daemons of all mounts say of themselves, asked at the same time. One that does not
 * answer within a few seconds has no status, and a sentence that says why.
 */
#ifndef REVERTFS_CTL_DAEMON_STATUSES_H
#define REVERTFS_CTL_DAEMON_STATUSES_H

#include "json.h"
#include "mounts.h"

#define STATUSES_TIMEOUT_MS 5000

struct mount_status {
	const struct mount *mount;
	struct json_object *status; /* NULL: the daemon does not answer */
	int error;                  /* ... and why */
	struct sentence why;
};

struct statuses {
	const struct mounts *mounts; /* borrowed */
	struct mount_status *items;
	size_t count;
};

/* -ENOMEM with a sentence is the only failure. */
int statuses_ask(const struct mounts *mounts, struct statuses *ret_statuses, struct sentence *error);
void statuses_clear(struct statuses *statuses); /* for CLEANUP() */

/* The disk of this name in this mount; NULL where there is none, as far as its daemon says so. */
struct json_object *statuses_find(const struct statuses *statuses, const struct mount *mount, const char *name);

/* In how many mounts a disk has this name. */
size_t statuses_count(const struct statuses *statuses, const char *name);

#endif
