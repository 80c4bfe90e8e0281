/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call that may hang, as an open of a file whose server has gone: a thread of its own makes it,
 * and is left behind where that takes too long.
 */
#ifndef REVERTFS_BASE_IN_TIME_H
#define REVERTFS_BASE_IN_TIME_H

#include <stdbool.h>

struct timed_call {
	int (*call)(void *context);                  /* returns 0 or more, or a negative errno */
	void (*too_late)(void *context, int result); /* where the call ends after all: undo it, free the context */
	void *context;
};

/*
 * Wait for the call for as long as *left_ms says, from which the time is taken. False: it is left
 * behind, the context is the thread's now, and *left_ms is 0. True: *ret_result is what it
 * returned, or why no thread could be had.
 */
bool in_time(unsigned *left_ms, const struct timed_call *call, int *ret_result);

#endif
