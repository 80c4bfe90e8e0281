/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Passthrough: which open files the kernel reads and writes by itself, without asking the daemon.
 *
 * The kernel wants one way for one inode: as long as one descriptor on it is open, all are passed through to the same backing
 * file, or none is; otherwise the later open fails. So it is decided when a node is opened and nobody has it open, and
 * holds until nobody has.
 */
#ifndef REVERTFS_PASSAGE_H
#define REVERTFS_PASSAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct passages {
	pthread_mutex_t
		lock; /* guards every struct passage; held over the registering of a file, which waits for nothing */
	int fuse_fd;  /* borrowed; -1: none is passed through */
	atomic_bool complained;
};

/* Of one node. */
struct passage {
	unsigned opens;
	int32_t backing_id; /* the kernel's number of the backing file; 0 when the daemon serves it */
};

void passages_init(struct passages *passages);
void passages_destroy(struct passages *passages);

/* The kernel has granted it on this connection. To be called before anything is opened. */
void passages_allow(struct passages *passages, int fuse_fd);
bool passages_allowed(const struct passages *passages);

/*
 * One more has the node open, with `fd` as its file. The backing id for the answer, or 0: the daemon serves it. Each call is undone by a
 * passage_leave().
 */
int32_t passage_enter(struct passages *passages, struct passage *passage, int fd);
void passage_leave(struct passages *passages, struct passage *passage);

#endif
