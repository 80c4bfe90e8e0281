/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verbs ask for background work by disk->job; the threads of daemon/workers.c do it.
 */
#include "job.h"

#include <errno.h>

#include "foldable.h"
#include "gc.h"
#include "json.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "session.h"
#include "table.h"
#include "transfer.h"
#include "trouble.h"
#include "claim.h"

/*
 * No worker sees a disk that is out of the table, or is about to be. A disk whose record could not
 * be read has no head; but layers may have names of it.
 */
static int check_may_fold_locked(const struct disk *disk, struct sentence *error)
{
	if (disk->removed)
		return report(error, -ENOENT, "disk '%s' was removed meanwhile", disk->name);
	return disk->head ? 0 : report(error, -EIO, "disk '%s' has failed: %s", disk->name, disk->failure.text);
}

/* Whether that queued a fold. */
static bool queue_locked(struct disk *disk)
{
	bool queued;

	if (check_may_fold_locked(disk, NULL) < 0)
		return false;
	disk->job.postponed = false;
	disk->job.not_before = 0;
	disk->job.failures = 0;
	disk->wants_followers_moved = disk_find_clone_locked(disk) != NULL;
	queued = disk->job.state == JOB_NONE && (fold_candidate_locked(disk) || disk->wants_followers_moved);
	if (queued)
		disk->job.state = JOB_QUEUED;
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_cond_broadcast(&disk->disks->queued);
	return queued;
}

void job_queue(struct disk *disk)
{
	bool queued = false;

	LOCKED (&disk->disks->lock)
		queued = queue_locked(disk);
	if (queued)
		log_debug("job", "disk '%s': a fold is queued", disk->name);
}

/* A clone that follows is left out: its layers are folded for its origin. */
static bool wants_fold_locked(const struct disk *disk)
{
	return !disk->record.follow && disk->job.state == JOB_NONE && !disk->job.postponed &&
	       fold_candidate_locked(disk);
}

void job_look_again(const struct layer *root)
{
	struct disks *disks = root->disks;
	unsigned count = 0;

	LOCKED (&disks->lock) {
		for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
			if (disk->root == root && wants_fold_locked(disk)) {
				disk->job.state = JOB_QUEUED;
				count++;
			}
		pthread_cond_broadcast(&disks->changed);
		pthread_cond_broadcast(&disks->queued);
	}
	if (count)
		log_debug("job", "image '%s': folds of %u disks are queued", root->record.image, count);
}

void job_remove_given_up(struct disks *disks)
{
	struct layer *root;

	while ((root = gc_given_up(disks))) {
		job_look_again(root);
		layer_put(root);
	}
}

void job_warn(struct disk *disk, struct sentence *ret_warning)
{
	struct disks *disks = disk->disks;
	bool overdue;

	if (ret_warning->text[0]) {
		log_warning("%s", ret_warning->text);
		return;
	}
	pthread_mutex_lock(&disks->lock);
	overdue = fold_is_overdue_locked(disk, disks->options->max_layers, ret_warning) ||
		  (fold_depth_locked(disk) && disk->root && trouble_of_image_locked(disk->root, ret_warning));
	pthread_mutex_unlock(&disks->lock);
	if (overdue)
		log_warning("%s", ret_warning->text);
	else
		ret_warning->text[0] = '\0';
}

/*
 * -EBUSY when a queued fold waits for a use that may last: a session, an open descriptor. A verb
 * ends by itself.
 */
static int check_not_kept_waiting_locked(struct disk *disk, struct sentence *error)
{
	struct layer *layer = fold_candidate_locked(disk);

	if (disk->job.state != JOB_QUEUED || !layer || disk->claimed || disk->waiting ||
	    fold_may_run_locked(layer, error))
		return 0;
	return -EBUSY;
}

/*
 * Wait until a run that was told to stop has stopped. The next run does not count, though it may
 * have begun by the time this thread looks: job.stop is cleared when a run begins.
 */
static void await_stopped_locked(struct disk *disk)
{
	while (disk->job.state == JOB_RUNNING && disk->job.stop)
		pthread_cond_wait(&disk->disks->changed, &disk->disks->lock);
}

int job_fold_now(struct disk *disk, struct caller *caller, struct sentence *error)
{
	struct disks *disks = disk->disks;
	struct timespec deadline;
	uint64_t ended;
	int r;

	log_debug("job", "disk '%s': a fold is asked for", disk->name);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WRITER_WAIT_MS / 1000;
	pthread_mutex_lock(&disks->lock);
	/* A run that was told to stop earlier does not do what is asked for now. */
	await_stopped_locked(disk);
	r = check_may_fold_locked(disk, error);
	queue_locked(disk);
	ended = disk->job.ended;
	while (r == 0 && disk->job.state != JOB_NONE && disk->job.ended == ended && !disks->stopping) {
		r = check_not_kept_waiting_locked(disk, error);
		/* The descriptors of a program that has just ended are closed a little later. */
		if (r == -EBUSY && !session_is_active_locked(disk) &&
		    pthread_cond_timedwait(&disks->changed, &disks->lock, &deadline) == 0) {
			r = 0;
			continue;
		}
		if (r == 0 && caller && atomic_load(&caller->interrupted))
			r = report(error, -EINTR, "disk '%s': the fold goes on in the background", disk->name);
		if (r == 0)
			pthread_cond_wait(&disks->changed, &disks->lock);
	}
	if (r == 0 && disk->job.ended != ended && disk->job.result < 0) {
		*error = disk->job.error;
		r = disk->job.result;
	}
	pthread_mutex_unlock(&disks->lock);
	return r;
}

static void unqueue_locked(struct disk *disk)
{
	disk->job.state = JOB_NONE;
	disk->job.ended++;
	disk->job.result = -EBUSY;
	report(&disk->job.error, -EBUSY, "disk '%s': the fold was cancelled", disk->name);
}

/* Whether there was a fold, queued or running. */
static bool stop_fold_locked(struct disk *disk)
{
	bool any = disk->job.state != JOB_NONE;

	disk->job.postponed = true;
	if (disk->job.state == JOB_QUEUED)
		unqueue_locked(disk);
	if (disk->job.state == JOB_RUNNING) {
		fold_stop_locked(disk);
		await_stopped_locked(disk);
	}
	pthread_cond_broadcast(&disk->disks->changed);
	return any;
}

static bool stop_fold(struct disk *disk)
{
	bool any = false;

	LOCKED (&disk->disks->lock)
		any = stop_fold_locked(disk);
	if (any)
		log_debug("job", "disk '%s': the fold was cancelled", disk->name);
	return any;
}

void job_end_empty(struct disk *disk)
{
	LOCKED (&disk->disks->lock) {
		if (disk->job.state != JOB_QUEUED || fold_candidate_locked(disk))
			break;
		unqueue_locked(disk);
		report(&disk->job.error, -EBUSY, "disk '%s': the layers that were to be folded were given up",
		       disk->name);
		disk->job.failures = 0;
		disk->job.not_before = 0;
		pthread_cond_broadcast(&disk->disks->changed);
	}
}

void job_remove_disk(struct disk *disk)
{
	LOCKED (&disk->disks->lock) {
		/* No fold is queued any more: who asks again and again would keep this waiting. */
		disk->removed = true;
		stop_fold_locked(disk);
		disk_remove_locked(disk);
	}
	log_debug("disk", "'%s': out of the table", disk->name);
}

int job_cancel(struct disk *disk, uint64_t number, struct sentence *error)
{
	bool any = number != JOB_FOLD && transfer_cancel(disk, number) > 0;

	if ((!number || number == JOB_FOLD) && stop_fold(disk))
		any = true;
	return any                  ? 0
	       : number == JOB_FOLD ? report(error, -ENOENT, "disk '%s' has no fold", disk->name)
	       : number ? report(error, -ENOENT, "disk '%s' has no job %llu", disk->name, (unsigned long long)number)
			: report(error, -ENOENT, "disk '%s' has no job", disk->name);
}
