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
#include <stddef.h>

#include "util.h"

static inline pthread_mutex_t *lock_take(pthread_mutex_t *mutex)
{
	pthread_mutex_lock(mutex);
	return mutex;
}

static inline void lock_release(pthread_mutex_t **mutex)
{
	pthread_mutex_unlock(*mutex);
}

#define LOCKED(mutex) \
	for (pthread_mutex_t * held_ CLEANUP(lock_release) = lock_take(mutex), *block_ = held_; block_; block_ = NULL)

#endif
