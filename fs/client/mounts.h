/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The revertfs mounts of this host, and in which of them a path lies: from the text of mountinfo
 * alone, so that no mount is touched. mounts_follow() comes first where a path may lead through
 * symbolic links.
 */
#ifndef REVERTFS_CLIENT_MOUNTS_H
#define REVERTFS_CLIENT_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "util.h"

struct mount {
	char *point;   /* where it is mounted */
	char *images;  /* of a revertfs the images directory; else whatever source the filesystem names */
	char *device;  /* "major:minor", the same for two mounts of one filesystem */
	bool revertfs; /* the root of a revertfs is mounted, so that .revertfs/control is there */
};

struct mounts {
	struct mount *items; /* in the kernel's order: of two at one place the later one is seen */
	size_t count;
};

/*
 * Read a mountinfo file, or its text (-ENOMEM is then the only failure). Free with mounts_free().
 */
int mounts_read(const char *file, struct mounts **ret_mounts, struct sentence *error);
int mounts_parse(const char *text, struct mounts **ret_mounts);
void mounts_free(struct mounts *mounts); /* NULL is fine */
void mounts_freep(struct mounts **mounts);

/* The revertfs mount that shows this absolute path; NULL where there is none. Borrowed. */
const struct mount *mounts_of_path(const struct mounts *mounts, const char *path);

/*
 * Replace a path (malloc()ed, or NULL) that lies in no revertfs mount by one that lies in a mount
 * or an images directory, where symbolic links of root's lead there. All others, and paths with
 * "..", stay as they are.
 */
void mounts_follow(const struct mounts *mounts, char **path);

/* The revertfs mount whose images directory holds this path, or NULL. Borrowed. */
const struct mount *mounts_of_image(const struct mounts *mounts, const char *path);

/*
 * Step through the revertfs mounts, each filesystem once. `last` is NULL for the first, then what
 * the call before returned. NULL at the end.
 */
const struct mount *mounts_next(const struct mounts *mounts, const struct mount *last);

#endif
