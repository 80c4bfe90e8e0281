/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a message in a thread's buffer to its answer: through the lanes (lane.h), to ops_process().
 *
 * All functions may be called from any thread, each courier by one at a time.
 */
#ifndef REVERTFS_MOUNT_DELIVERY_H
#define REVERTFS_MOUNT_DELIVERY_H

#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "buffers.h"
#include "lane.h"
#include "ops.h"

struct delivery;

/* One thread's side of it. */
struct courier {
	struct delivery *delivery;
	char *buffer;                 /* or NULL; its request's length is 0 while it holds none */
	atomic_uint_least64_t unique; /* of the request that it answers, or 0 */
	atomic_bool at_command;
};

/*
 * All is borrowed. `call` has another thread call delivery_work() with an errand; false when there
 * is none.
 */
struct delivery_needs {
	struct ops *ops;
	struct buffers *buffers;
	bool (*call)(void *context, struct errand *errand);
	void *context;
};
int delivery_new(const struct delivery_needs *needs, struct delivery **ret_delivery);
void delivery_free(struct delivery *delivery); /* nothing may be at work or parked; NULL is fine */
void delivery_connect(struct delivery *delivery, struct fuse_session *session, int fuse_fd);

/*
 * Answer the message in the courier's buffer, or park or refuse it; then what may go on when it has
 * left its lanes. The buffer may be gone afterwards.
 */
void delivery_answer(struct courier *courier, size_t length);
void delivery_work(struct courier *courier, struct errand *errands);

/* At the end: answer what a courier still works on, or what is still parked, with EIO. */
void delivery_give_up(struct delivery *delivery, struct courier *courier);
void delivery_give_up_parked(struct delivery *delivery);

#endif
