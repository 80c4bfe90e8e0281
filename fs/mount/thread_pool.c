/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each piece of work has a thread for itself. One or two threads stay for a while when their work
 * is done and take more: a reset takes less time than starting and ending a thread.
 *
 *   busy      work that was given to thread_pool_run() and has not ended; never above the limit
 *   idle      threads that wait for work. Work is queued only if an idle thread will take it;
 *             otherwise a new thread is started with it
 *   threads   all threads; the struct is freed after the last has gone
 */
#include "thread_pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lock.h"
#include "util.h"

#define IDLE_MAX 2
#define IDLE_S 10

struct work {
	struct thread_pool *pool;
	void (*run)(void *argument);
	void *argument;
	struct work *next;
};

struct thread_pool {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t more;  /* work was queued */
	pthread_cond_t fewer; /* `busy` or `threads` went down */
	struct work *queue;   /* in no order, since idle threads take all of it at once */
	unsigned queued, busy, idle, threads, limit;
	bool ending;
};

int thread_pool_new(unsigned limit, struct thread_pool **ret_pool)
{
	struct thread_pool *pool = calloc(1, sizeof(*pool));
	pthread_condattr_t attributes;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->more, &attributes);
	pthread_cond_init(&pool->fewer, &attributes);
	pthread_condattr_destroy(&attributes);
	pool->limit = limit;
	*ret_pool = pool;
	return 0;
}

void thread_pool_wait(struct thread_pool *pool)
{
	LOCKED (&pool->lock)
		while (pool->busy)
			pthread_cond_wait(&pool->fewer, &pool->lock);
}

void thread_pool_free(struct thread_pool *pool)
{
	if (!pool)
		return;
	LOCKED (&pool->lock) {
		pool->ending = true;
		pthread_cond_broadcast(&pool->more);
		while (pool->threads)
			pthread_cond_wait(&pool->fewer, &pool->lock);
	}
	pthread_cond_destroy(&pool->more);
	pthread_cond_destroy(&pool->fewer);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

/* Wait for work, IDLE_S seconds at most. NULL when the thread is to end. */
static struct work *wait_for_work_locked(struct thread_pool *pool)
{
	struct timespec until;
	struct work *work;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_S;
	pool->idle++;
	while (!pool->queue && !pool->ending && r == 0)
		r = pthread_cond_timedwait(&pool->more, &pool->lock, &until);
	pool->idle--;
	work = pool->queue;
	if (work) {
		pool->queue = work->next;
		pool->queued--;
	}
	return work;
}

static struct work *next_work(struct thread_pool *pool)
{
	struct work *work = NULL;

	LOCKED (&pool->lock) {
		pool->busy--;
		pthread_cond_broadcast(&pool->fewer);
		if (pool->idle < IDLE_MAX)
			work = wait_for_work_locked(pool);
		if (!work) {
			pool->threads--;
			pthread_cond_broadcast(&pool->fewer);
		}
	}
	return work;
}

static void *serve(void *argument)
{
	struct work *work = argument;

	while (work) {
		struct thread_pool *pool = work->pool;

		work->run(work->argument);
		free(work);
		work = next_work(pool);
	}
	return NULL;
}

static int start_thread_locked(struct thread_pool *pool, struct work *work)
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
	pool->threads++;
	return 0;
}

static int hand_over_locked(struct thread_pool *pool, struct work *work)
{
	if (pool->busy >= pool->limit)
		return -EAGAIN;
	if (pool->queued == pool->idle)
		return start_thread_locked(pool, work);
	work->next = pool->queue;
	pool->queue = work;
	pool->queued++;
	pthread_cond_signal(&pool->more);
	return 0;
}

int thread_pool_run(struct thread_pool *pool, void (*run)(void *argument), void *argument)
{
	struct work *work = malloc(sizeof(*work));
	int r = 0;

	if (!work)
		return -EAGAIN;
	*work = (struct work){ .pool = pool, .run = run, .argument = argument };
	LOCKED (&pool->lock) {
		r = hand_over_locked(pool, work);
		if (r == 0)
			pool->busy++;
	}
	if (r < 0)
		free(work);
	return r;
}
