/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "in_time.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lock.h"
#include "thread.h"

#define STACK ((size_t)256 << 10)

/* Freed by the thread where it was left behind, else by who waits for it. */
struct attempt {
	struct timed_call call;

	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t ended; /* CLOCK_MONOTONIC */
	int result;
	bool over, left_behind;
};

static void attempt_free(struct attempt *attempt)
{
	pthread_cond_destroy(&attempt->ended);
	pthread_mutex_destroy(&attempt->lock);
	free(attempt);
}

static struct attempt *attempt_new(const struct timed_call *call)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));

	if (!attempt)
		return NULL;
	attempt->call = *call;
	pthread_mutex_init(&attempt->lock, NULL);
	cond_init_monotonic(&attempt->ended);
	return attempt;
}

static void *make_it(void *context)
{
	struct attempt *attempt = context;
	int result = attempt->call.call(attempt->call.context);
	bool left_behind = false;

	LOCKED (&attempt->lock) {
		attempt->result = result;
		attempt->over = true;
		left_behind = attempt->left_behind;
		pthread_cond_signal(&attempt->ended);
	}
	if (left_behind) {
		attempt->call.too_late(attempt->call.context, result);
		attempt_free(attempt);
	}
	return NULL;
}

static bool wait_for(struct attempt *attempt, uint64_t deadline)
{
	struct timespec until = { .tv_sec = (time_t)(deadline / 1000), .tv_nsec = (long)(deadline % 1000) * 1000000 };
	bool over = false;
	int r = 0;

	LOCKED (&attempt->lock) {
		while (!attempt->over && r == 0)
			r = pthread_cond_timedwait(&attempt->ended, &attempt->lock, &until);
		over = attempt->over;
		attempt->left_behind = !over;
	}
	return over;
}

bool in_time(unsigned *left_ms, const struct timed_call *call, int *ret_result)
{
	struct attempt *attempt = attempt_new(call);
	uint64_t deadline = monotonic_ms() + *left_ms, now;
	int r = attempt ? thread_start(STACK, make_it, attempt, NULL) : -ENOMEM;

	if (r == 0 && !wait_for(attempt, deadline)) {
		*left_ms = 0;
		return false;
	}
	now = monotonic_ms();
	*left_ms = now < deadline ? (unsigned)(deadline - now) : 0;
	*ret_result = r < 0 ? r : attempt->result;
	if (attempt)
		attempt_free(attempt);
	return true;
}
