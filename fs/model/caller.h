/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that asks for something, as the kernel named it with the request.
 */
#ifndef REVERTFS_MODEL_CALLER_H
#define REVERTFS_MODEL_CALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct replay;

/* Another thread may set `interrupted` at any time; it broadcasts disks->changed then. */
struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	struct replay *replay; /* what an earlier daemon noted of the same write; NULL: it cannot have seen it */
	atomic_bool interrupted;
};

#endif
