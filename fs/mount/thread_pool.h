/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for requests that take long: one that waits for a fold or a verb must not occupy one of
 * the few threads that serve reads and writes.
 */
#ifndef REVERTFS_MOUNT_THREAD_POOL_H
#define REVERTFS_MOUNT_THREAD_POOL_H

struct thread_pool;

/* At most `limit` requests at a time. */
int thread_pool_new(unsigned limit, struct thread_pool **ret_pool);
void thread_pool_free(struct thread_pool *pool); /* waits for the end of all; NULL is fine */

/*
 * Call `run` on another thread. 0, or -EAGAIN when there are too many or there is no memory: then
 * it is not called. thread_pool_wait() waits until all that were started have returned.
 */
int thread_pool_run(struct thread_pool *pool, void (*run)(void *argument), void *argument);
void thread_pool_wait(struct thread_pool *pool);

#endif
