/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread for each, and one or two of those that have nothing left to do wait a while for more: a reset takes less time than
 * starting a thread and taking it down.
 *
 *   busy      what has been given to defer_run() and has not ended; never more than the limit
 *   idle      threads that wait for work; work is queued only for one of them, else it comes with a new thread
 *   threads   all of them; the struct is theirs until the last has gone
 */
#include "slow.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "util.h"

#define IDLE_MAX 2
#define IDLE_S 10

struct work {
	struct defer *defer;
	void (*run)(void *argument);
	void *argument;
	struct work *next;
};

struct defer {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t more;  /* for the idle */
	pthread_cond_t fewer; /* for who waits for an end */
	struct work *queue;   /* in no order: what is in it is taken at once */
	unsigned queued, busy, idle, threads, limit;
	bool ending;
};

int defer_new(unsigned limit, struct defer **ret_defer)
{
	struct defer *defer = calloc(1, sizeof(*defer));
	pthread_condattr_t attributes;

	if (!defer)
		return -ENOMEM;
	pthread_mutex_init(&defer->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&defer->more, &attributes);
	pthread_cond_init(&defer->fewer, &attributes);
	pthread_condattr_destroy(&attributes);
	defer->limit = limit;
	*ret_defer = defer;
	return 0;
}

void defer_wait(struct defer *defer)
{
	pthread_mutex_lock(&defer->lock);
	while (defer->busy)
		pthread_cond_wait(&defer->fewer, &defer->lock);
	pthread_mutex_unlock(&defer->lock);
}

void defer_free(struct defer *defer)
{
	if (!defer)
		return;
	pthread_mutex_lock(&defer->lock);
	defer->ending = true;
	pthread_cond_broadcast(&defer->more);
	while (defer->threads)
		pthread_cond_wait(&defer->fewer, &defer->lock);
	pthread_mutex_unlock(&defer->lock);
	pthread_cond_destroy(&defer->more);
	pthread_cond_destroy(&defer->fewer);
	pthread_mutex_destroy(&defer->lock);
	free(defer);
}

/* Work for a thread that has none, or NULL when it may go. */
static struct work *wait_for_work_locked(struct defer *defer)
{
	struct timespec until;
	struct work *work;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	defer->idle++;
	while (!defer->queue && !defer->ending && r == 0)
		r = pthread_cond_timedwait(&defer->more, &defer->lock, &until);
	defer->idle--;
	work = defer->queue;
	if (work) {
		defer->queue = work->next;
		defer->queued--;
	}
	return work;
}

static struct work *next_work(struct defer *defer)
{
	struct work *work = NULL;

	pthread_mutex_lock(&defer->lock);
	defer->busy--;
	pthread_cond_broadcast(&defer->fewer);
	if (defer->idle < IDLE_MAX)
		work = wait_for_work_locked(defer);
	if (!work) {
		defer->threads--;
		pthread_cond_broadcast(&defer->fewer);
	}
	pthread_mutex_unlock(&defer->lock);
	return work;
}

static void *serve(void *argument)
{
	struct work *work = argument;

	while (work) {
		struct defer *defer = work->defer;

		work->run(work->argument);
		free(work);
		work = next_work(defer);
	}
	return NULL;
}

static int start_thread_locked(struct defer *defer, struct work *work)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, serve, work);
	pthread_attr_destroy(&attributes);
	if (r)
		return -EAGAIN;
	defer->threads++;
	return 0;
}

static int hand_over_locked(struct defer *defer, struct work *work)
{
	if (defer->busy >= defer->limit)
		return -EAGAIN;
	if (defer->queued == defer->idle)
		return start_thread_locked(defer, work);
	work->next = defer->queue;
	defer->queue = work;
	defer->queued++;
	pthread_cond_signal(&defer->more);
	return 0;
}

int defer_run(struct defer *defer, void (*run)(void *argument), void *argument)
{
	struct work *work = malloc(sizeof(*work));
	int r;

	if (!work)
		return -EAGAIN;
	*work = (struct work){ .defer = defer, .run = run, .argument = argument };
	pthread_mutex_lock(&defer->lock);
	r = hand_over_locked(defer, work);
	if (r == 0)
		defer->busy++;
	pthread_mutex_unlock(&defer->lock);
	if (r < 0)
		free(work);
	return r;
}
