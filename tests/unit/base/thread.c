/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a thread begins with: no signals, the stack that was asked for, and whoever joins it. */
#include "test.h"

#include <semaphore.h>
#include <signal.h>

#include "thread.h"

#define STACK ((size_t)2 << 20)

struct seen {
	sem_t done;
	sigset_t blocked;
	size_t stack;
	int detached;
};

static void *look(void *context)
{
	struct seen *seen = context;
	pthread_attr_t attributes;

	pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &seen->stack);
	pthread_attr_getdetachstate(&attributes, &seen->detached);
	pthread_attr_destroy(&attributes);
	sem_post(&seen->done);
	return NULL;
}

static void check_seen(const struct seen *seen)
{
	sigset_t own;

	check(sigismember(&seen->blocked, SIGTERM) == 1 && sigismember(&seen->blocked, SIGCHLD) == 1);
	check_int(pthread_sigmask(SIG_SETMASK, NULL, &own), 0);
	check_int(sigismember(&own, SIGTERM), 0);
}

static struct seen joined(size_t stack)
{
	struct seen seen = { .detached = -1 };
	pthread_t thread;

	check_int(sem_init(&seen.done, 0, 0), 0);
	check_int(thread_start(stack, look, &seen, &thread), 0);
	check_int(pthread_join(thread, NULL), 0);
	return seen;
}

/* A sanitizer has a least size of its own, and adds to each. */
TEST(a_thread_that_is_joined)
{
	const struct seen small = joined(STACK), large = joined(2 * STACK);

	check_seen(&small);
	check_int(small.detached, PTHREAD_CREATE_JOINABLE);
	check(small.stack >= STACK);
	check_int(large.stack - small.stack, STACK);
}

TEST(a_thread_that_nobody_joins)
{
	static struct seen seen = { .detached = -1 };

	check_int(sem_init(&seen.done, 0, 0), 0);
	check_int(thread_start(STACK, look, &seen, NULL), 0);
	check_int(sem_wait(&seen.done), 0);
	check_seen(&seen);
	check_int(seen.detached, PTHREAD_CREATE_DETACHED);
}
