/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a thread: with a stack of its own size, and no signals, which are for the main thread.
 */
#ifndef REVERTFS_BASE_THREAD_H
#define REVERTFS_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/*
 * `stack` is in bytes. The caller joins *ret_thread; with NULL there nobody does, and the thread is
 * detached. 0 or a negative errno.
 */
int thread_start(size_t stack, void *(*run)(void *), void *context, pthread_t *ret_thread);

#endif
