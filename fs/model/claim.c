/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose turn it is. A claim belongs to one verb and excludes others and opens; a fold that runs
 * owns the files of two layers and gives way.
 */
#include "claim.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>

#include "layer.h"

static bool fold_touches_locked(const struct disk *disk, const struct layer *base)
{
	return disk->job.state == JOB_RUNNING &&
	       (layer_is_below_locked(disk->job.layer, base) || layer_is_below_locked(disk->job.layer->parent, base));
}

bool fold_owns_chain_locked(const struct layer *base)
{
	const struct disks *disks = base->disks;

	if (!disks->running)
		return false;
	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (fold_touches_locked(disk, base))
			return true;
	return false;
}

void fold_stop_locked(struct disk *disk)
{
	if (disk->job.stop)
		return;
	disk->job.stop = true;
	eventfd_write(disk->job.stop_fd, 1);
}

void fold_ask_to_stop_locked(const struct layer *base)
{
	for (struct disk *disk = base->disks->first; disk; disk = disk->next_disk)
		if (fold_touches_locked(disk, base))
			fold_stop_locked(disk);
}

/* At its end it gives the children of its layer another parent, in their headers and records. */
static bool fold_owns_locked(const struct disk *disk, const struct layer *layer)
{
	const struct layer *folded = disk->job.layer;

	return disk->job.state == JOB_RUNNING &&
	       (folded == layer || folded->parent == layer || folded == layer->parent);
}

/* The disk whose fold owns the layer's very file, or NULL. */
static struct disk *find_owner_locked(const struct layer *layer)
{
	struct disk *disk = layer->disks->first;

	while (disk && !fold_owns_locked(disk, layer))
		disk = disk->next_disk;
	return disk;
}

bool fold_owns_layer_locked(const struct layer *layer)
{
	return find_owner_locked(layer) != NULL;
}

int layer_pin_locked(struct layer *layer, bool nonblock)
{
	struct disks *disks = layer->disks;
	struct disk *owner;
	int r = 0;

	/*
	 * Counted before the fold is gone, so that it does not begin again in between: which is why
	 * only a fold of this very layer is waited for. One further down would begin again at once,
	 * and be stopped again, for ever.
	 */
	layer->pins++;
	while (r == 0 && !layer->removed && (owner = find_owner_locked(layer))) {
		if (nonblock) {
			r = -EAGAIN;
		} else {
			fold_stop_locked(owner);
			pthread_cond_wait(&disks->changed, &disks->lock);
		}
	}
	if (r == 0 && layer->removed)
		r = -ESTALE;
	if (r < 0) {
		layer->pins--;
		pthread_cond_broadcast(&disks->changed);
	}
	return r;
}

struct layer *layer_pin_snapshot_locked(struct disk *disk, const char *snapshot)
{
	struct layer *layer;

	while ((layer = disk_find_snapshot_locked(disk, snapshot))) {
		layer_get_locked(layer);
		if (layer_pin_locked(layer, false) == 0)
			return layer;
		layer_put_locked(layer);
	}
	return NULL;
}

void layer_unpin(struct layer *layer)
{
	struct disks *disks = layer->disks;

	pthread_mutex_lock(&disks->lock);
	layer->pins--;
	pthread_cond_broadcast(&disks->changed);
	layer_put_locked(layer);
	pthread_mutex_unlock(&disks->lock);
}

int disk_claim(struct disk *disk)
{
	struct disks *disks = disk->disks;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	for (;;) {
		bool fold_runs;

		if (disk->removed) {
			r = -ENOENT;
			break;
		}
		fold_runs = disk->head && fold_owns_chain_locked(disk_base(disk));
		if (!disk->claimed && !fold_runs)
			break;
		if (fold_runs)
			fold_ask_to_stop_locked(disk_base(disk));
		disk->waiting++;
		pthread_cond_wait(&disks->changed, &disks->lock);
		disk->waiting--;
	}
	if (r == 0)
		disk->claimed = true;
	pthread_mutex_unlock(&disks->lock);
	return r;
}

void disk_unclaim_locked(struct disk *disk)
{
	assert(disk->claimed);
	disk->claimed = false;
	pthread_cond_broadcast(&disk->disks->changed);
}

void disk_unclaim(struct disk *disk)
{
	pthread_mutex_lock(&disk->disks->lock);
	disk_unclaim_locked(disk);
	pthread_mutex_unlock(&disk->disks->lock);
}

void disk_release_claim(struct disk *disk)
{
	struct disks *disks = disk->disks;

	pthread_mutex_lock(&disks->lock);
	disk_unclaim_locked(disk);
	disk_put_locked(disk);
	pthread_mutex_unlock(&disks->lock);
}

static unsigned count_open_locked(const struct disk *disk, bool readers_too)
{
	const struct scratch *scratch = disk->scratch;

	return scratch ? scratch->writers + (readers_too ? scratch->readers : 0) : 0;
}

/* How many descriptors there still are when they have had the time to go. */
static unsigned wait_for_closes(struct disk *disk, bool readers_too)
{
	struct disks *disks = disk->disks;
	struct timespec deadline;
	unsigned count;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WRITER_WAIT_MS / 1000;
	pthread_mutex_lock(&disks->lock);
	while (count_open_locked(disk, readers_too))
		if (pthread_cond_timedwait(&disks->changed, &disks->lock, &deadline) == ETIMEDOUT)
			break;
	count = count_open_locked(disk, readers_too);
	pthread_mutex_unlock(&disks->lock);
	return count;
}

int disk_wait_for_writers(struct disk *disk, struct sentence *error)
{
	if (wait_for_closes(disk, false))
		return report(error, -EBUSY,
			      "disk '%s' is open for writing; stop the domain or program that uses it first",
			      disk->name);
	return 0;
}

int disk_wait_for_all(struct disk *disk, struct sentence *error)
{
	if (wait_for_closes(disk, true))
		return report(error, -EBUSY, "disk '%s' is open; close it first", disk->name);
	return 0;
}
