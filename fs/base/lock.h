/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mutex held for a block:
 *
 *	LOCKED (&disks->lock) {
 *		...
 *	}
 *
 * The mutex is released however the block is left: at its end, by return, or by break. The block is
 * a loop of one turn, so break and continue leave it, and no loop around it. It is for short
 * sections: a lock that is released in the middle is clearer with pthread_mutex_lock() and
 * pthread_mutex_unlock(). `make lint` follows both (.ci/locked).
 */
#ifndef REVERTFS_BASE_LOCK_H
#define REVERTFS_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "util.h"

struct lock_held {
	pthread_mutex_t *mutex;
	bool over;
};

static inline struct lock_held lock_take(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return (struct lock_held){ .mutex = mutex };
}

static inline void lock_release(struct lock_held *held)
{
	pthread_mutex_unlock(held->mutex);
}

/* A condition whose waits end by the monotonic clock. 0 or a negative errno. */
static inline int cond_init_monotonic(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;
	int r;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
	return -r;
}

#define LOCKED(mutex) LOCK_HOLD(mutex, LOCK_NAME(held_, __LINE__))
#define LOCK_HOLD(mutex, held) \
	for (struct lock_held held CLEANUP(lock_release) = lock_take(mutex); !(held).over; (held).over = true)

/* Each line's variable has a name of its own: one block may stand inside another. */
#define LOCK_NAME(name, line) LOCK_PASTE(name, line)
#define LOCK_PASTE(name, line) name##line

#endif
