/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking for background work: what the verbs say to workers.c's threads, through disk->job.
 */
#include "job.h"

#include <errno.h>

#include "foldable.h"
#include "json.h"
#include "layer.h"
#include "log.h"
#include "session.h"
#include "table.h"
#include "transfer.h"
#include "claim.h"

static void queue_locked(struct disk *disk)
{
	disk->job.postponed = false;
	disk->job.not_before = 0;
	disk->job.failures = 0;
	disk->wants_followers_moved = disk_find_clone_locked(disk) != NULL;
	if (disk->job.state == JOB_NONE && (fold_candidate_locked(disk) || disk->wants_followers_moved))
		disk->job.state = JOB_QUEUED;
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_cond_broadcast(&disk->disks->queued);
}

void job_queue(struct disk *disk)
{
	pthread_mutex_lock(&disk->disks->lock);
	queue_locked(disk);
	pthread_mutex_unlock(&disk->disks->lock);
}

void job_look_again(const struct layer *root)
{
	struct disks *disks = root->disks;

	pthread_mutex_lock(&disks->lock);
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
		/* The layers of a clone that follows are its template's business. */
		if (disk->root == root && !disk->record.follow && disk->job.state == JOB_NONE && !disk->job.postponed &&
		    fold_candidate_locked(disk))
			disk->job.state = JOB_QUEUED;
	pthread_cond_broadcast(&disks->changed);
	pthread_cond_broadcast(&disks->queued);
	pthread_mutex_unlock(&disks->lock);
}

void job_warn(struct disk *disk, struct json_object *answer)
{
	struct disks *disks = disk->disks;
	struct sentence why;
	bool overdue;

	pthread_mutex_lock(&disks->lock);
	overdue = fold_is_overdue_locked(disk, disks->options->max_layers, &why);
	pthread_mutex_unlock(&disks->lock);
	if (!overdue)
		return;
	log_warning("%s", why.text);
	json_set_string(answer, "warning", why.text);
}

/*
 * Whether a queued fold waits for somebody who stays: a verb at work ends by itself, a session does
 * not.
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
 * That a run which was told to stop has stopped; not the next run, which may have begun before we
 * look.
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
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WRITER_WAIT_MS / 1000;
	pthread_mutex_lock(&disks->lock);
	/* One that was told to stop before is not the one that is asked for. */
	await_stopped_locked(disk);
	queue_locked(disk);
	ended = disk->job.ended;
	while (r == 0 && disk->job.state != JOB_NONE && disk->job.ended == ended && !disks->stopping) {
		r = check_not_kept_waiting_locked(disk, error);
		/* A program that has just ended may seem to have the disk open still. */
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

/*
 * What was asked for meanwhile does not count: a fold goes back to the queue or ends, and never
 * runs twice in one go.
 */
bool job_stop_fold(struct disk *disk)
{
	bool any;

	pthread_mutex_lock(&disk->disks->lock);
	any = disk->job.state != JOB_NONE;
	disk->job.postponed = true;
	if (disk->job.state == JOB_QUEUED) {
		disk->job.state = JOB_NONE;
		disk->job.ended++;
		disk->job.result = -EBUSY;
		report(&disk->job.error, -EBUSY, "disk '%s': the fold was cancelled", disk->name);
	}
	if (disk->job.state == JOB_RUNNING) {
		fold_stop_locked(disk);
		await_stopped_locked(disk);
	}
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
	return any;
}

int job_cancel(struct disk *disk, uint64_t number, struct sentence *error)
{
	bool any = number != JOB_FOLD && transfer_cancel(disk, number) > 0;

	if ((!number || number == JOB_FOLD) && job_stop_fold(disk))
		any = true;
	return any                  ? 0
	       : number == JOB_FOLD ? report(error, -ENOENT, "disk '%s' has no fold", disk->name)
	       : number ? report(error, -ENOENT, "disk '%s' has no job %llu", disk->name, (unsigned long long)number)
			: report(error, -ENOENT, "disk '%s' has no job", disk->name);
}
