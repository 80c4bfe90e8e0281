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

/* `interrupted` may be set at any time by another thread, which then calls control_wake(). */
struct caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	struct replay *replay; /* of the write, which an earlier daemon may have had; NULL: none can */
	atomic_bool interrupted;
};

#endif
