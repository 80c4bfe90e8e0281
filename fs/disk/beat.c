/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fold that was cut short may go on only over the image that it was writing. After a kill, or a
 * power cut, somebody may have written that image, or put it back from a backup. The image's inode
 * and modification time tell: the time is
 *
 *   that of the image's stamp      nothing was written since the fold began, or nothing of it has
 *                                  reached the medium
 *   within the layer's span        the fold itself has written, in this run or an earlier one
 *   any other                      somebody else has
 *
 * The span is recorded before a run begins, some seconds ahead of the clock, and renewed in time.
 * Where a renewal is late (a sync may take long), qemu-img is stopped until it is done; where one
 * fails, the fold does. So the image has no time beyond the span's end, whenever the power is lost.
 *
 * What is exact and what is not:
 *
 *   - Who puts the image back within the AHEAD_NS after a crash, and gives it no older time, is not
 *     noticed. Nor is a backup that was made with its times while the fold ran.
 *   - Whoever puts back, with its times, the very image that the fold began with is not refused:
 *     over it the layer reads right, as it does over any mixture of that and of the fold.
 *   - A local filesystem takes its times from the kernel's coarse clock, and so does the span. Some
 *     round them down, to two seconds at most: SLACK_NS. One that lies on another machine has that
 *     machine's clock: the image is touched first, and the difference is added to all times. A
 *     network filesystem may give a file the time at which a dead program's last pages reach the
 *     server, later than the span's end: then a fold is refused that could go on.
 *   - When the clock is set, qemu-img stops at its next look, half a second later, until a renewal
 *     has taken the new time into the span. A crash within that half second may have a fold refused
 *     that could go on. Between two runs the clock may be set as anybody likes. When it was set
 *     back, a change is not noticed before the old time comes again.
 */
#include "beat.h"

#include <errno.h>
#include <stdlib.h>

#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "span.h"
#include "thread.h"

#define SECOND_NS 1000000000ULL
#define BEAT_MS 2000
#define AHEAD_NS (5 * SECOND_NS)
#define LATE_NS (1 * SECOND_NS) /* before the span's end: qemu-img is looked at twice a second */
#define SLACK_NS (2 * SECOND_NS)
#define STACK_SIZE (256 * 1024)

struct beat {
	struct layer *layer; /* a reference */
	char *file;
	int image;           /* borrowed, until beat_start() */
	int64_t offset;      /* of the image's clock, in ns; set by beat_start() */
	struct span earlier; /* of earlier runs */

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	struct span span; /* as recorded */
	int error;
	bool runs; /* there is a thread, which frees it */
	bool ended;
};

static uint64_t nanoseconds(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * SECOND_NS + (uint64_t)time->tv_nsec;
}

static uint64_t image_now(const struct beat *beat)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return nanoseconds(&now) + (uint64_t)beat->offset;
}

/* So that both it and what a renewal adds now are in it. */
static struct span extend(const struct span *span, uint64_t now)
{
	uint64_t from = now > SLACK_NS ? now - SLACK_NS : 0, until = now + AHEAD_NS;

	return (struct span){ .from = span->from < from ? span->from : from,
			      .until = span->until > until ? span->until : until };
}

/* Nothing, where the fold begins only now. */
static void load_earlier(struct beat *beat)
{
	const struct layer *layer = beat->layer;

	beat->earlier = (struct span){ .from = UINT64_MAX };
	if (layer->record.state == LAYER_FOLDING)
		span_load(layer->disks->layers_fd, beat->file, &beat->earlier);
}

/* Another host may have got the images meanwhile: then nothing is written to them any more. */
static int save(const struct beat *beat, const struct span *span)
{
	struct disks *disks = beat->layer->disks;
	int r = guard_check(&disks->images_guard);

	return r < 0 ? r : span_save(&disks->state_guard, disks->layers_fd, beat->file, span);
}

/* The layer's record and files are the beat's no more. */
static void release(struct beat *beat)
{
	struct disks *disks = beat->layer->disks;

	LOCKED (&disks->lock) {
		beat->layer->beating = false;
		layer_put_locked(beat->layer);
		pthread_cond_broadcast(&disks->changed);
	}
	pthread_cond_destroy(&beat->changed);
	pthread_mutex_destroy(&beat->lock);
	free(beat->file);
	free(beat);
}

int beat_new(struct layer *layer, int image, struct beat **ret_beat)
{
	struct beat *beat = calloc(1, sizeof(*beat));
	int r;

	if (!beat)
		return -ENOMEM;
	beat->image = image;
	beat->file = layer_file_name(layer->record.id, LAYER_SPAN_SUFFIX);
	pthread_mutex_init(&beat->lock, NULL);
	cond_init_monotonic(&beat->changed);
	LOCKED (&layer->disks->lock) {
		layer_await_beat_locked(layer);
		layer->beating = true;
		beat->layer = layer_get_locked(layer);
	}
	r = beat->file ? 0 : -ENOMEM;
	if (r == 0) {
		load_earlier(beat);
		beat->span = extend(&beat->earlier, image_now(beat));
		r = save(beat, &beat->span);
	}
	if (r < 0)
		release(beat);
	else
		*ret_beat = beat;
	return r;
}

/* By the image's own clock, where that is another. Who may not touch it has to trust ours. */
static int look_at_clock(struct beat *beat)
{
	uint64_t now = image_now(beat), seen;
	struct stat stat;
	int64_t offset;

	if (futimens(beat->image, NULL) < 0 || fstat(beat->image, &stat) < 0)
		return 0;
	seen = nanoseconds(&stat.st_mtim);
	offset = (int64_t)(seen - now);
	if (offset > -(int64_t)SLACK_NS && offset < (int64_t)LATE_NS)
		return 0;
	log_debug("job", "layer %s: the image's clock differs by %lld ms", beat->layer->record.id,
		  (long long)(offset / 1000000));
	beat->offset = offset;
	beat->span = extend(&beat->earlier, seen);
	return save(beat, &beat->span);
}

/* Wait for the time of the next beat, or the end. */
static bool wait_locked(struct beat *beat)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BEAT_MS / 1000;
	while (!beat->ended && r != ETIMEDOUT)
		r = beat->error ? pthread_cond_wait(&beat->changed, &beat->lock)
				: pthread_cond_timedwait(&beat->changed, &beat->lock, &until);
	return !beat->ended;
}

static void renew_locked(struct beat *beat)
{
	struct span span = extend(&beat->span, image_now(beat));
	int r;

	pthread_mutex_unlock(&beat->lock);
	r = save(beat, &span);
	pthread_mutex_lock(&beat->lock);
	if (r == 0)
		beat->span = span;
	else
		beat->error = r;
}

static void *renew_all(void *context)
{
	struct beat *beat = context;

	pthread_mutex_lock(&beat->lock);
	while (wait_locked(beat))
		renew_locked(beat);
	pthread_mutex_unlock(&beat->lock);
	release(beat);
	return NULL;
}

int beat_start(struct beat *beat)
{
	int r = look_at_clock(beat);

	if (r < 0)
		return r;
	beat->runs = true;
	r = thread_start(STACK_SIZE, renew_all, beat, NULL);
	if (r < 0)
		beat->runs = false;
	return r;
}

int beat_check(struct beat *beat)
{
	uint64_t now = image_now(beat);
	int r = 0;

	LOCKED (&beat->lock)
		r = beat->error ? beat->error : now < beat->span.from || now + LATE_NS >= beat->span.until;
	return r;
}

void beat_end(struct beat *beat)
{
	bool runs;

	pthread_mutex_lock(&beat->lock);
	runs = beat->runs;
	beat->ended = true;
	pthread_cond_signal(&beat->changed);
	pthread_mutex_unlock(&beat->lock);
	if (!runs)
		release(beat);
}

void beat_endp(struct beat **beat)
{
	if (*beat)
		beat_end(*beat);
	*beat = NULL;
}

bool beat_explains(const struct layer *layer, const struct timespec *modified)
{
	CLEANUP(freep) char *file = layer_file_name(layer->record.id, LAYER_SPAN_SUFFIX);
	struct span span = { 0 };
	int r = file ? span_load(layer->disks->layers_fd, file, &span) : -ENOMEM;
	uint64_t time = nanoseconds(modified);

	return r == -ENOENT || (r == 0 && time >= span.from && time <= span.until);
}
