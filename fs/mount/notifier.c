/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel is told to let go of nodes that its cache alone remembers with FUSE_NOTIFY_PRUNE
 * (Linux 6.18): it drops the names that nobody uses, and sends a FORGET for each inode that goes
 * with them. Whether a name is used, by a process that works there or by an O_PATH descriptor, only
 * the kernel knows. So where nothing has come of it after all nodes of a user were named, the next
 * try comes later, and ever later, up to a second; the user may have ended by then.
 *
 * Before 6.18 there is only FUSE_NOTIFY_INVAL_ENTRY, which is not used: it takes the lock of the
 * directory, without regard to signals, and whoever holds that may wait for an answer of this
 * daemon. A daemon that is killed while it waits there could never end, nor its successor begin. It
 * also takes names from those who work beneath, and unmounts what is mounted there. So there the
 * nodes stay until the kernel needs the memory, and count to their owner alone.
 */
#include "notifier.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "lock.h"
#include "log.h"
#include "node.h"
#include "notification.h"
#include "thread.h"

#define STACK (256 * 1024)
#define REST_MIN_MS 4
#define REST_MAX_MS 1000

struct notifier {
	struct node_table *nodes;
	int fuse_fd;
	bool cannot_prune; /* the kernel is too old */
	pthread_t thread;

	pthread_mutex_t lock;   /* guards the rest */
	pthread_cond_t changed; /* CLOCK_MONOTONIC */
	bool woken, stopping;
};

static void wake(void *context)
{
	struct notifier *notifier = context;

	LOCKED (&notifier->lock) {
		notifier->woken = true;
		pthread_cond_signal(&notifier->changed);
	}
}

static bool is_stopping(struct notifier *notifier)
{
	bool answer = false;

	LOCKED (&notifier->lock)
		answer = notifier->stopping;
	return answer;
}

/* Until there is something to do; with a rest, until that has passed. */
static void wait_for_work(struct notifier *notifier, unsigned rest_ms)
{
	uint64_t end = monotonic_ms() + rest_ms;
	struct timespec until = { .tv_sec = (time_t)(end / 1000), .tv_nsec = (long)(end % 1000) * 1000000 };

	LOCKED (&notifier->lock) {
		int r = 0;

		while (!notifier->stopping && r == 0 && (rest_ms || !notifier->woken))
			r = rest_ms ? pthread_cond_timedwait(&notifier->changed, &notifier->lock, &until)
				    : pthread_cond_wait(&notifier->changed, &notifier->lock);
		notifier->woken = false;
	}
}

static void ask_about_doubtful(struct notifier *notifier)
{
	struct node *node;
	uint64_t lookups;

	while (!is_stopping(notifier) && (node = node_next_doubtful(notifier->nodes, &lookups)))
		node_correct(notifier->nodes, node, lookups, notification_knows(notifier->fuse_fd, node->id));
}

static void prune(struct notifier *notifier, const uint64_t *ids, size_t count)
{
	int r = count ? notification_prune(notifier->fuse_fd, ids, count) : 0;

	if (r == -EINVAL) {
		notifier->cannot_prune = true;
		log_info(
			"this kernel (before Linux 6.18) cannot be asked to forget files: those that somebody has looked at count to that user until it needs the memory");
	} else if (r < 0) {
		log_debug("fuse", "the kernel does not take the names of %zu idle nodes: %s", count, error_text(r));
	}
}

/* Name the idle nodes of all who have too many, once. False when there was somebody. */
static bool give_back_idle(struct notifier *notifier)
{
	struct idle_round round = { .over = false };
	uint64_t ids[NOTIFICATION_PRUNE_MAX];

	while (!round.over && !notifier->cannot_prune && !is_stopping(notifier))
		prune(notifier, ids, node_idle(notifier->nodes, &round, ids, NOTIFICATION_PRUNE_MAX));
	return !round.found_some;
}

static void *run(void *context)
{
	struct notifier *notifier = context;
	unsigned rest_ms = 0, before = 0;

	while (!is_stopping(notifier)) {
		unsigned now;

		wait_for_work(notifier, rest_ms);
		ask_about_doubtful(notifier);
		now = node_count(notifier->nodes);
		if (give_back_idle(notifier))
			rest_ms = 0;
		else if (now < before || !rest_ms)
			rest_ms = REST_MIN_MS;
		else if (rest_ms < REST_MAX_MS)
			rest_ms *= 2;
		before = now;
	}
	return NULL;
}

int notifier_start(struct node_table *nodes, int fuse_fd, struct notifier **ret_notifier)
{
	struct notifier *notifier = calloc(1, sizeof(*notifier));
	int r;

	if (!notifier)
		return -ENOMEM;
	notifier->nodes = nodes;
	notifier->fuse_fd = fuse_fd;
	pthread_mutex_init(&notifier->lock, NULL);
	cond_init_monotonic(&notifier->changed);
	r = thread_start(STACK, run, notifier, &notifier->thread);
	if (r < 0) {
		pthread_cond_destroy(&notifier->changed);
		pthread_mutex_destroy(&notifier->lock);
		free(notifier);
		return r;
	}
	node_table_connect(nodes, wake, notifier);
	*ret_notifier = notifier;
	return 0;
}

void notifier_stop(struct notifier *notifier)
{
	if (!notifier)
		return;
	node_table_connect(notifier->nodes, NULL, NULL);
	LOCKED (&notifier->lock) {
		notifier->stopping = true;
		pthread_cond_signal(&notifier->changed);
	}
	pthread_join(notifier->thread, NULL);
	pthread_cond_destroy(&notifier->changed);
	pthread_mutex_destroy(&notifier->lock);
	free(notifier);
}
