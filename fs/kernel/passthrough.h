/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passthrough: which open files the kernel reads and writes by itself, without asking the daemon.
 *
 * The kernel wants all open descriptors of an inode treated alike: either all are passed through,
 * to the same backing file, or none is; otherwise the later open fails. So the first open of a node
 * decides, and the decision holds until its last descriptor is closed.
 */
#ifndef REVERTFS_KERNEL_PASSTHROUGH_H
#define REVERTFS_KERNEL_PASSTHROUGH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct passthrough {
	pthread_mutex_t lock;   /* guards every struct passthrough_file; held over nothing that waits */
	int fuse_fd;            /* borrowed; -1: no file is passed through */
	uint32_t *last_id;      /* in the handover: the largest backing id that the kernel has given */
	atomic_bool complained; /* the administrator is told once that a file is not passed through */
};

/* One file of the mount; zeroed when it is new. */
struct passthrough_file {
	unsigned opens;     /* its descriptors */
	int32_t backing_id; /* the kernel's number of the backing file; 0 when the daemon serves it */
};

/* `last_id` is borrowed. */
void passthrough_init(struct passthrough *passthrough, uint32_t *last_id);
void passthrough_destroy(struct passthrough *passthrough);

/*
 * The kernel grants passthrough on this connection (-1: it does not). To be called before anything
 * is opened.
 */
void passthrough_allow(struct passthrough *passthrough, int fuse_fd);
bool passthrough_is_allowed(const struct passthrough *passthrough);

/*
 * Count one more descriptor; `fd` is the real file. Returns the backing id for the reply to the
 * kernel, or 0: the daemon serves the file. Each call is undone by a passthrough_leave(). `noted`
 * (or NULL) is where the id is written down for the next daemon. Both may wait for the filesystem
 * of the file, and nobody then waits for them.
 */
int32_t passthrough_enter(struct passthrough *passthrough, struct passthrough_file *file, int fd, int32_t *noted);
void passthrough_leave(struct passthrough *passthrough, struct passthrough_file *file, int32_t *noted);

/*
 * The same for a descriptor that was opened in an earlier daemon, which had this id for the file.
 */
void passthrough_restore(struct passthrough *passthrough, struct passthrough_file *file, int32_t backing_id);

/* Release a backing file that an earlier daemon registered and no descriptor uses. */
void passthrough_release(struct passthrough *passthrough, uint32_t backing_id);

/*
 * Release what an earlier daemon may have registered and been killed before it could write it down:
 * every id near the last one that `is_used` does not claim.
 */
void passthrough_release_unknown(struct passthrough *passthrough, bool (*is_used)(void *context, uint32_t backing_id),
				 void *context);

#endif
