/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passthrough: which open files the kernel reads and writes by itself, without asking the daemon.
 *
 * The kernel wants one way for one inode: as long as one descriptor on it is open, all are passed
 * through to the same backing file, or none is; otherwise the later open fails. So it is decided
 * when a node is opened and nobody has it open, and holds until nobody has.
 */
#ifndef REVERTFS_KERNEL_PASSTHROUGH_H
#define REVERTFS_KERNEL_PASSTHROUGH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct passthrough {
	/*
	 * Guards every struct passthrough_file. Held while a file is registered, which waits for
	 * nothing.
	 */
	pthread_mutex_t lock;
	int fuse_fd;       /* borrowed; -1: none is passed through */
	uint32_t *last_id; /* the largest that the kernel has given, for the next daemon */
	atomic_bool complained;
};

/* Of one file in the mount. */
struct passthrough_file {
	unsigned opens;
	int32_t backing_id; /* the kernel's number of the backing file; 0 when the daemon serves it */
};

/* `last_id` is borrowed. */
void passthrough_init(struct passthrough *passthrough, uint32_t *last_id);
void passthrough_destroy(struct passthrough *passthrough);

/* The kernel has granted it on this connection. To be called before anything is opened. */
void passthrough_allow(struct passthrough *passthrough, int fuse_fd);
bool passthrough_is_allowed(const struct passthrough *passthrough);

/*
 * One more has the node open, with `fd` as its file. The backing id for the answer, or 0: the
 * daemon serves it. Each call is undone by a passthrough_leave(). `noted` (NULL: nowhere) is where
 * the id is written down for the next daemon.
 */
int32_t passthrough_enter(struct passthrough *passthrough, struct passthrough_file *file, int fd, int32_t *noted);
void passthrough_leave(struct passthrough *passthrough, struct passthrough_file *file, int32_t *noted);

/* One that had it open in an earlier daemon, which had given it this id. */
void passthrough_restore(struct passthrough *passthrough, struct passthrough_file *file, int32_t backing_id);

/* Let a backing file go that an earlier daemon had registered and no descriptor uses. */
void passthrough_let_go(struct passthrough *passthrough, uint32_t backing_id);

/*
 * The same for those that it may have registered without getting to write it down: all near the
 * last that `is_used` does not know.
 */
void passthrough_let_go_unknown(struct passthrough *passthrough, bool (*is_used)(void *context, uint32_t backing_id),
				void *context);

#endif
