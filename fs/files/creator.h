/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making files as somebody else: what is created belongs to the caller from its first moment,
 * whether the directory is setgid, whichever quota applies, and even if we are killed right after.
 */
#ifndef REVERTFS_FILES_CREATOR_H
#define REVERTFS_FILES_CREATOR_H

#include <linux/capability.h>
#include <sys/types.h>

struct creator {
	uid_t uid;
	gid_t gid;
};

/*
 * Between the two, files that this thread makes belong to `creator`; its rights stay root's.
 * Nothing but the making of one file goes between them. 0 or a negative errno, with nothing to
 * leave then.
 */
int creator_enter(const struct creator *creator);
void creator_leave(void);

#endif
