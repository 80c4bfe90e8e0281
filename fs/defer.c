/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread for each, and a count of them. They are rare and long enough that keeping idle ones would gain nothing.
 */
#include "defer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "util.h"

struct defer {
	pthread_mutex_t lock;
	pthread_cond_t fewer;
	unsigned count, limit;
};

struct work {
	struct defer *defer;
	void (*run)(void *argument);
	void *argument;
};

int defer_new(unsigned limit, struct defer **ret_defer)
{
	struct defer *defer = calloc(1, sizeof(*defer));

	if (!defer)
		return -ENOMEM;
	pthread_mutex_init(&defer->lock, NULL);
	pthread_cond_init(&defer->fewer, NULL);
	defer->limit = limit;
	*ret_defer = defer;
	return 0;
}

void defer_wait(struct defer *defer)
{
	pthread_mutex_lock(&defer->lock);
	while (defer->count)
		pthread_cond_wait(&defer->fewer, &defer->lock);
	pthread_mutex_unlock(&defer->lock);
}

void defer_free(struct defer *defer)
{
	if (!defer)
		return;
	defer_wait(defer);
	pthread_cond_destroy(&defer->fewer);
	pthread_mutex_destroy(&defer->lock);
	free(defer);
}

static bool enter(struct defer *defer)
{
	bool room;

	pthread_mutex_lock(&defer->lock);
	room = defer->count < defer->limit;
	if (room)
		defer->count++;
	pthread_mutex_unlock(&defer->lock);
	return room;
}

static void leave(struct defer *defer)
{
	pthread_mutex_lock(&defer->lock);
	defer->count--;
	pthread_cond_broadcast(&defer->fewer);
	pthread_mutex_unlock(&defer->lock);
}

static void *run_work(void *argument)
{
	CLEANUP(freep) struct work *work = argument;

	work->run(work->argument);
	leave(work->defer);
	return NULL;
}

static int start(struct work *work)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, run_work, work);
	pthread_attr_destroy(&attributes);
	return r ? -EAGAIN : 0;
}

int defer_run(struct defer *defer, void (*run)(void *argument), void *argument)
{
	CLEANUP(freep) struct work *work = malloc(sizeof(*work));
	int r;

	if (!work || !enter(defer))
		return -EAGAIN;
	*work = (struct work){ .defer = defer, .run = run, .argument = argument };
	r = start(work);
	if (r < 0)
		leave(defer);
	else
		steal_pointer(&work); /* run_work() frees it */
	return r;
}
