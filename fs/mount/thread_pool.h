/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what takes long: a request that waits for a fold or a sync must not keep the few that
 * serve reads and writes.
 */
#ifndef REVERTFS_MOUNT_THREAD_POOL_H
#define REVERTFS_MOUNT_THREAD_POOL_H

struct thread_pool;

/* At most `limit` at a time. */
int thread_pool_new(unsigned limit, struct thread_pool **ret_pool);
void thread_pool_free(struct thread_pool *pool); /* waits for all; NULL is fine */

/* Run it on another thread. -EAGAIN when there are too many: nothing has been run. */
int thread_pool_run(struct thread_pool *pool, void (*run)(void *argument), void *argument);
void thread_pool_wait(struct thread_pool *pool);

#endif
