/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loose.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "lock.h"
#include "log.h"
#include "thread.h"

#define STACK ((size_t)512 << 10)
#define END_WAITS_S 3 /* for all of them, for what a filesystem may not answer */

struct loose {
	struct loose *next; /* in disks->loose */
	struct disks *disks;
	void (*work)(struct loose *self, struct disks *disks);
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	bool stop, ended;       /* guarded by the lock */
};

static void *run(void *context)
{
	struct loose *self = context;

	self->work(self, self->disks);
	LOCKED (&self->lock) {
		self->ended = true;
		pthread_cond_broadcast(&self->changed);
	}
	return NULL;
}

static void free_loose(struct loose *loose)
{
	pthread_cond_destroy(&loose->changed);
	pthread_mutex_destroy(&loose->lock);
	free(loose);
}

int loose_start(struct disks *disks, void (*work)(struct loose *self, struct disks *disks), struct loose **ret_loose)
{
	struct loose *loose = calloc(1, sizeof(*loose));
	int r;

	if (!loose)
		return -ENOMEM;
	loose->disks = disks;
	loose->work = work;
	pthread_mutex_init(&loose->lock, NULL);
	cond_init_monotonic(&loose->changed);
	r = thread_start(STACK, run, loose, &loose->thread);
	if (r < 0) {
		free_loose(loose);
		return r;
	}
	loose->next = disks->loose;
	disks->loose = loose;
	if (ret_loose)
		*ret_loose = loose;
	return 0;
}

static struct timespec after(unsigned seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	return until;
}

bool loose_is_to_end(struct loose *self)
{
	bool stop = false;

	LOCKED (&self->lock)
		stop = self->stop;
	return stop;
}

bool loose_rest(struct loose *self, unsigned seconds)
{
	const struct timespec until = after(seconds);
	bool stop = false;
	int r = 0;

	LOCKED (&self->lock) {
		while (r == 0 && !self->stop)
			r = pthread_cond_timedwait(&self->changed, &self->lock, &until);
		stop = self->stop;
	}
	return !stop;
}

static bool wait_for_end(struct loose *loose, const struct timespec *until)
{
	bool ended = false;
	int r = 0;

	LOCKED (&loose->lock) {
		while (r == 0 && !loose->ended)
			r = pthread_cond_timedwait(&loose->changed, &loose->lock, until);
		ended = loose->ended;
	}
	return ended;
}

bool loose_wait(struct loose *loose, unsigned seconds)
{
	const struct timespec until = after(seconds);

	return wait_for_end(loose, &until);
}

void loose_ask_all_to_end(struct disks *disks)
{
	for (struct loose *loose = disks->loose; loose; loose = loose->next) {
		LOCKED (&loose->lock) {
			loose->stop = true;
			pthread_cond_broadcast(&loose->changed);
		}
	}
}

bool loose_wait_for_all(struct disks *disks)
{
	const struct timespec until = after(END_WAITS_S);
	struct loose **place = &disks->loose;

	while (*place) {
		struct loose *loose = *place;

		if (wait_for_end(loose, &until)) {
			pthread_join(loose->thread, NULL);
			*place = loose->next;
			free_loose(loose);
		} else {
			place = &loose->next;
		}
	}
	if (disks->loose)
		log_info("ending: a filesystem has not answered work in the background, which is left as it is");
	return !disks->loose;
}
