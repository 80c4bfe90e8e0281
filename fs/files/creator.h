/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making files as somebody else: a new file belongs to the caller from its first moment. So a
 * setgid directory and quotas work as they do outside the mount, and a daemon that is killed right
 * after leaves no file that belongs to root.
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
 * Between the two calls, files that this thread makes belong to `creator`, while the thread keeps
 * root's rights. Only the making of one file goes between them. creator_enter() returns 0, or a
 * negative errno; then nothing has changed and creator_leave() is not called.
 */
int creator_enter(const struct creator *creator);
void creator_leave(void);

#endif
