/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * There are workers of two kinds, so that no number of copies keeps a fold from running. Those for
 * folds (options.max_jobs threads) take a disk whose fold is queued and may run, and fold its
 * layers one after the other. The others make what somebody asked to be copied out (transfer.c).
 *
 *   NONE --job_queue--> QUEUED --a worker--> RUNNING --nothing left--> NONE
 *                          ^                    |
 *                          +--somebody came-----+   (stopped within a second: qemu-img is killed,
 *                                                   the layer stays `folding`)
 *                          +--it failed---------+   (tried again after a while)
 *                                               +--cancelled--> NONE
 *
 * An idle worker waits for disks->changed while something is queued that may not run yet, else for
 * disks->queued, so that a reset does not wake it. The timeouts below are for what changes with
 * time alone.
 *
 * What may wait for one user's image, or for one disk's command, has a thread of its own (loose.h).
 */
#include "workers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arm.h"
#include "claim.h"
#include "clone.h"
#include "fold.h"
#include "foldable.h"
#include "housekeeper.h"
#include "image_mark.h"
#include "job.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "loose.h"
#include "output.h"
#include "patience.h"
#include "thread.h"
#include "transfer.h"

#define TICK_S 2          /* sessions lapse, failed folds come up again, domains' files are edited */
#define RETRY_MIN_MS 5000 /* after the first failure; doubled by each */
#define RETRY_MAX_MS 600000
#define WORKER_STACK (512 * 1024)

/* --- a fold's job ----------------------------------------------------------------------------- */

static void end_job_locked(struct disk *disk)
{
	disk->job.state = JOB_NONE;
	disk->job.ended++;
	disk->job.result = 0;
	pthread_cond_broadcast(&disk->disks->changed);
}

/*
 * Whether the disk's fold may run now. The job of a disk that has nothing left to fold ends; as
 * long as clones are to be moved on, that is not known. One that waited for the beat of its last
 * run (disk/beat.h) could not yield.
 */
static bool may_run_locked(struct disk *disk, uint64_t now, struct layer **ret_layer)
{
	if (disk->job.state != JOB_QUEUED || now < disk->job.not_before || transfer_runs_locked(disk) ||
	    disk->wants_followers_moved || disk->moving_followers)
		return false;
	*ret_layer = fold_candidate_locked(disk);
	if (!*ret_layer) {
		end_job_locked(disk);
		return false;
	}
	return !(*ret_layer)->beating && !fold_has_rival_locked(*ret_layer) && fold_may_begin_locked(*ret_layer);
}

static void begin_fold_locked(struct disk *disk, struct layer *layer, uint64_t now)
{
	uint64_t drained;

	disk->job.state = JOB_RUNNING;
	disk->job.layer = layer_get_locked(layer);
	disk->job.percent = 0;
	disk->job.bytes = 0;
	disk->job.started = now;
	disk->job.stop = false;
	eventfd_read(disk->job.stop_fd, &drained);
	disk->refs++;
	disk->disks->running++;
}

/* A disk whose fold can begin, made RUNNING: a reference, or NULL. */
static struct disk *take_fold_locked(struct disks *disks)
{
	uint64_t now = monotonic_ms();
	struct layer *layer;

	for (struct disk *disk = disks->first; disk; disk = disk->next_disk) {
		if (may_run_locked(disk, now, &layer)) {
			begin_fold_locked(disk, layer, now);
			return disk;
		}
	}
	return NULL;
}

/* Nothing was begun, and looking again costs little, so it is done soon. */
static bool lacks_room(const struct disk *disk, int result)
{
	return result == -ENOSPC && disk->job.layer->record.state != LAYER_FOLDING;
}

static void note_failure_locked(struct disk *disk, int result, const struct sentence *error)
{
	uint64_t delay = RETRY_MIN_MS;

	if (disk->job.short_of_room)
		disk->job.failures = 0;
	for (unsigned i = 0; i < disk->job.failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	disk->job.failures++;
	disk->job.not_before = monotonic_ms() + delay;
	disk->job.result = result;
	disk->job.error = *error;
	disk->last_error = *error;
	disk->job.ended++;
}

static void note_stop_locked(struct disk *disk)
{
	disk->job.result = -EBUSY;
	report(&disk->job.error, -EBUSY,
	       disk->job.postponed
		       ? "disk '%s': the fold was cancelled; 'fold' takes it up again"
		       : "disk '%s': the fold gave way to somebody who uses the disk, and goes on by itself",
	       disk->name);
	disk->job.ended++;
}

static void note_success_locked(struct disk *disk)
{
	disk->job.failures = 0;
	disk->job.not_before = 0;
	/* What earlier tries complained of is over; an error of anything but the fold is not. */
	if (strcmp(disk->last_error.text, disk->job.error.text) == 0)
		disk->last_error.text[0] = '\0';
}

static void end_fold_locked(struct disk *disk, int result, const struct sentence *error)
{
	struct disks *disks = disk->disks;

	disk->job.short_of_room = lacks_room(disk, result);
	/* Readers were cut for nothing, and it may be so the next time. */
	if (result < 0 && result != -ECANCELED)
		patience_renew_locked(disk->job.layer);
	layer_put_locked(disk->job.layer);
	disk->job.layer = NULL;
	disk->job.state = disk->job.postponed ? JOB_NONE : JOB_QUEUED;
	disks->running--;
	if (result == -ECANCELED)
		note_stop_locked(disk);
	else if (result < 0)
		note_failure_locked(disk, result, error);
	else
		note_success_locked(disk);
	pthread_cond_broadcast(&disks->changed);
}

/* --- what a worker does ----------------------------------------------------------------------- */

/*
 * Clones that are behind their origin keep its old layers from being folded; idle clones can be
 * moved on. Whether there was an origin that wanted that.
 */
static bool move_followers_locked(struct disks *disks)
{
	struct disk *disk = disks->first;

	while (disk && !disk->wants_followers_moved)
		disk = disk->next_disk;
	if (!disk)
		return false;
	disk->wants_followers_moved = false;
	disk->moving_followers++;
	disk->refs++;
	pthread_mutex_unlock(&disks->lock);
	log_debug("job", "'%s': idle clones are moved to its head", disk->name);
	clone_move_followers_on(disk);
	pthread_mutex_lock(&disks->lock);
	disk->moving_followers--;
	if (disk->job.state == JOB_NONE && !disk->job.postponed && fold_candidate_locked(disk))
		disk->job.state = JOB_QUEUED;
	disk_put_locked(disk);
	pthread_cond_broadcast(&disks->changed);
	return true;
}

/* Onlookers were cut without a line, under the lock. */
static void tell_cut(struct layer *layer)
{
	unsigned count = 0;

	LOCKED (&layer->disks->lock) {
		count = layer->patience.cut;
		layer->patience.cut = 0;
	}
	if (count)
		log_warning(
			"layer %s: its fold has waited %u s for readers; what %u descriptors of theirs read is answered ESTALE from now on",
			layer->record.id, layer->disks->options->reader_patience, count);
}

static int fold(struct disk *disk, struct sentence *error)
{
	int r;

	tell_cut(disk->job.layer);
	log_debug("job", "'%s': the fold of layer %s begins", disk->name, disk->job.layer->record.id);
	r = fold_run(disk, disk->job.layer, error);
	if (r < 0 && r != -ECANCELED && !(disk->job.short_of_room && lacks_room(disk, r)))
		log_error("%s", error->text);
	log_debug("job", "'%s': the fold of layer %s %s", disk->name, disk->job.layer->record.id,
		  r == 0            ? "is complete"
		  : r == -ECANCELED ? "was stopped"
				    : "has failed");
	return r;
}

/* Whether there was a fold that could run. */
static bool fold_one_locked(struct disks *disks)
{
	struct disk *disk = take_fold_locked(disks);
	struct sentence error = { "" };
	int r;

	if (!disk)
		return false;
	pthread_mutex_unlock(&disks->lock);
	r = fold(disk, &error);
	LOCKED (&disks->lock)
		end_fold_locked(disk, r, &error);
	job_remove_given_up(disks);
	pthread_mutex_lock(&disks->lock);
	disk_put_locked(disk);
	return true;
}

/* Whether there was a transfer that could run. */
static bool transfer_one_locked(struct disks *disks)
{
	struct transfer *transfer = transfer_take_locked(disks);
	struct sentence error = { "" };
	int r;

	if (!transfer)
		return false;
	pthread_mutex_unlock(&disks->lock);
	log_debug("job", "disk '%s': the %s of layer %s to '%s' begins", transfer->disk->name, transfer->kind,
		  transfer->layer->record.id, transfer->target);
	r = transfer->run(transfer, &error);
	transfer_end(transfer, r, &error);
	transfer_put(transfer);
	pthread_mutex_lock(&disks->lock);
	return true;
}

/* Whether a fold is queued, though it may not run now. */
static bool has_folds_locked(const struct disks *disks)
{
	const struct disk *disk = disks->first;

	while (disk && disk->job.state != JOB_QUEUED && !disk->wants_followers_moved)
		disk = disk->next_disk;
	return disk != NULL;
}

static void wait_for_work_locked(struct disks *disks, bool has_work)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TICK_S;
	pthread_cond_timedwait(has_work ? &disks->changed : &disks->queued, &disks->lock, &until);
}

static void *fold_all(void *context)
{
	struct disks *disks = context;

	pthread_mutex_lock(&disks->lock);
	while (!disks->stopping) {
		if (!move_followers_locked(disks) && !fold_one_locked(disks))
			wait_for_work_locked(disks, has_folds_locked(disks));
	}
	pthread_mutex_unlock(&disks->lock);
	return NULL;
}

static void *transfer_all(void *context)
{
	struct disks *disks = context;

	pthread_mutex_lock(&disks->lock);
	while (!disks->stopping) {
		if (!transfer_one_locked(disks))
			wait_for_work_locked(disks, disks->transfers != NULL);
	}
	pthread_mutex_unlock(&disks->lock);
	return NULL;
}

/* --- what may wait for one user's files ------------------------------------------------------- */

/* What a daemon has left that was killed while it made an export. */
static void clean_up(struct loose *self, struct disks *disks)
{
	(void)self;
	output_clean_up(disks);
}

static void settle_marks(struct loose *self, struct disks *disks)
{
	(void)self;
	image_marks_settle(disks);
}

static void watch_sessions(struct loose *self, struct disks *disks)
{
	while (loose_rest(self, TICK_S))
		sessions_watch(disks);
}

static int start_loose(struct disks *disks)
{
	int r = loose_start(disks, clean_up, NULL);

	if (r == 0)
		r = loose_start(disks, settle_marks, NULL);
	return r == 0 ? loose_start(disks, watch_sessions, NULL) : r;
}

/* --- life ------------------------------------------------------------------------------------- */

static int start_thread(struct disks *disks, void *(*run)(void *))
{
	int r = thread_start(WORKER_STACK, run, disks, &disks->workers[disks->worker_count]);

	if (r == 0)
		disks->worker_count++;
	return r;
}

int workers_start(struct disks *disks)
{
	unsigned folds = disks->options->max_jobs, transfers = transfer_workers(disks->options);
	int r;

	disks->workers = calloc(folds + transfers + 1, sizeof(*disks->workers));
	if (!disks->workers)
		return -ENOMEM;
	r = start_loose(disks);
	if (r == 0)
		r = start_thread(disks, housekeeper_run);
	for (unsigned i = 0; i < folds && r == 0; i++)
		r = start_thread(disks, fold_all);
	for (unsigned i = 0; i < transfers && r == 0; i++)
		r = start_thread(disks, transfer_all);
	return r;
}

static void ask_all_to_stop_locked(struct disks *disks)
{
	disks->stopping = true;
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (disk->job.state == JOB_RUNNING)
			fold_stop_locked(disk);
	transfer_stop_all_locked(disks);
	pthread_cond_broadcast(&disks->changed);
	pthread_cond_broadcast(&disks->queued);
}

/* A fold has not waited for the thread that renews its span (disk/beat.h). */
static void await_beats(struct disks *disks)
{
	LOCKED (&disks->lock)
		for (struct layer *layer = disks->layers; layer; layer = layer->next)
			layer_await_beat_locked(layer);
}

bool workers_stop(struct disks *disks)
{
	bool ended;

	loose_ask_all_to_end(disks);
	LOCKED (&disks->lock)
		ask_all_to_stop_locked(disks);
	for (unsigned i = 0; i < disks->worker_count; i++)
		pthread_join(disks->workers[i], NULL);
	ended = loose_wait_for_all(disks);
	await_beats(disks);
	free(disks->workers);
	disks->workers = NULL;
	disks->worker_count = 0;
	transfer_drop_all(disks);
	return ended;
}
