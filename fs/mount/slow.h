/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads for what takes long: a request that waits for a fold or a sync must not keep the few that serve reads and writes.
 */
#ifndef REVERTFS_MOUNT_SLOW_H
#define REVERTFS_MOUNT_SLOW_H

struct defer;

/* At most `limit` at a time. */
int defer_new(unsigned limit, struct defer **ret_defer);
void defer_free(struct defer *defer); /* waits for all; NULL is fine */

/* Run it on another thread. -EAGAIN when there are too many: nothing has been run. */
int defer_run(struct defer *defer, void (*run)(void *argument), void *argument);
void defer_wait(struct defer *defer);

#endif
