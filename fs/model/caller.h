/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that asks for something, and what it may ask for.
 *
 * A command is written to the control file. Who opened that file may hand the descriptor to a
 * program with more rights, as its stderr, say; and its complaint may begin with any text. So a
 * command has the rights of who opened the file or of who writes, whichever are less.
 */
#ifndef REVERTFS_MODEL_CALLER_H
#define REVERTFS_MODEL_CALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "handover.h"
#include "util.h"

struct replay;

/* As the kernel names it with a request. */
struct requester {
	uid_t uid;
	gid_t gid;
	pid_t pid;
};

/* Whose rights they are. */
struct identity {
	uid_t uid; /* HANDOVER_UNKNOWN: not known */
	gid_t gid;
	unsigned group_count; /* supplementary groups, as many as are known */
	gid_t groups[HANDOVER_GROUPS_MAX];
};

/* Another thread may set `interrupted` at any time; it broadcasts disks->changed then. */
struct caller {
	struct identity who;
	pid_t pid;             /* of who writes; 0 when it has none here, as in another pid namespace */
	struct replay *replay; /* what an earlier daemon noted of the same write; NULL: it cannot have seen it */
	atomic_bool interrupted;
};

/*
 * The identity that the kernel named with a request, and the supplementary groups of the process,
 * which it does not name. There are none where the process has no pid here, or is another by now.
 */
struct identity identity_of(uid_t uid, gid_t gid, pid_t pid);

bool identity_has_group(const struct identity *identity, gid_t group);

/*
 * Whether the kernel lets him do that (access(2)'s W_OK and the like) with an open file or
 * directory, whatever directories lead to it. Waits as long as its filesystem may, which a local
 * one does not.
 */
bool identity_may(const struct identity *identity, int fd, int mode);

/*
 * Whose rights a command has that `writer` writes to the control file opened by `opener`: the one
 * of the two who is not root. -EPERM with a sentence where these are two users, and where the
 * writer could not open the file himself: `group` is the one whose members can (0: none). Where the
 * opener is not known, since an earlier version did not note him, a writer speaks for himself; root
 * may not, for somebody else may have opened the file.
 */
int identity_lesser(const struct identity *opener, const struct identity *writer, gid_t group,
		    struct identity *ret_identity, struct sentence *error);

#endif
