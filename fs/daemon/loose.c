/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loose.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "lock.h"
#include "log.h"

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

/* Signals are for the main thread. */
static int start_thread(struct loose *loose)
{
	pthread_attr_t attributes;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&loose->thread, &attributes, run, loose);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attributes);
	return -r;
}

static void free_loose(struct loose *loose)
{
	pthread_cond_destroy(&loose->changed);
	pthread_mutex_destroy(&loose->lock);
	free(loose);
}

int loose_start(struct disks *disks, void (*work)(struct loose *self, struct disks *disks))
{
	struct loose *loose = calloc(1, sizeof(*loose));
	int r;

	if (!loose)
		return -ENOMEM;
	loose->disks = disks;
	loose->work = work;
	pthread_mutex_init(&loose->lock, NULL);
	cond_init_monotonic(&loose->changed);
	r = start_thread(loose);
	if (r < 0) {
		free_loose(loose);
		return r;
	}
	loose->next = disks->loose;
	disks->loose = loose;
	return 0;
}

static struct timespec after(unsigned seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	return until;
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

static void ask_to_end(struct loose *loose)
{
	LOCKED (&loose->lock) {
		loose->stop = true;
		pthread_cond_broadcast(&loose->changed);
	}
}

static bool has_ended(struct loose *loose, const struct timespec *until)
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

bool loose_end_all(struct disks *disks)
{
	const struct timespec until = after(END_WAITS_S);
	struct loose **place = &disks->loose;

	for (struct loose *loose = disks->loose; loose; loose = loose->next)
		ask_to_end(loose);
	while (*place) {
		struct loose *loose = *place;

		if (has_ended(loose, &until)) {
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
