/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mutex held for a block:
 *
 *	LOCKED (&disks->lock) {
 *		...
 *	}
 *
 * It is given up however the block is left: at its end, by return, or by break, which leaves the
 * block alone. For short sections; where a lock is given up in the middle, pthread_mutex_lock()
 * and pthread_mutex_unlock() say so better. `make lint` knows both (.ci/locked).
 */
#ifndef REVERTFS_BASE_LOCK_H
#define REVERTFS_BASE_LOCK_H

#include <pthread.h>
#include <stddef.h>

#include "util.h"

static inline pthread_mutex_t *lock_take(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

static inline void lock_give(pthread_mutex_t **mutex)
{
	pthread_mutex_unlock(*mutex);
}

#define LOCKED(mutex) \
	for (pthread_mutex_t * held_ CLEANUP(lock_give) = lock_take(mutex), *block_ = held_; block_; block_ = NULL)

#endif
