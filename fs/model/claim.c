/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A claim belongs to one verb and excludes other verbs and opens. A running fold owns the files of
 * two layers, and yields to whoever needs one of them.
 *
 * Debug lines are written without the lock: "claimed" after a claim, "released" before its end, so
 * that lines about two verbs come in the order of their claims.
 */
#include "claim.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>

#include "layer.h"
#include "lock.h"
#include "log.h"

/* --- folds ------------------------------------------------------------------------------------ */

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

bool fold_yields_to_onlooker_locked(struct disk *disk)
{
	if (!patience_left_ms_locked(disk->job.layer))
		return false;
	patience_run_locked(disk->job.layer);
	fold_stop_locked(disk);
	return true;
}

bool folds_yield_to_onlooker_locked(const struct layer *base)
{
	for (struct disk *disk = base->disks->first; disk; disk = disk->next_disk)
		if (fold_touches_locked(disk, base) && !fold_yields_to_onlooker_locked(disk))
			return false;
	return true;
}

void fold_ask_to_stop_locked(const struct layer *base)
{
	for (struct disk *disk = base->disks->first; disk; disk = disk->next_disk)
		if (fold_touches_locked(disk, base))
			fold_stop_locked(disk);
}

/*
 * The folded layer, its parent, and its children: at the fold's end their headers and records get
 * another parent.
 */
static bool fold_owns_locked(const struct disk *disk, const struct layer *layer)
{
	const struct layer *folded = disk->job.layer;

	return disk->job.state == JOB_RUNNING &&
	       (folded == layer || folded->parent == layer || folded == layer->parent);
}

/* The disk whose fold owns this very layer, or NULL. */
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

/* --- pins ------------------------------------------------------------------------------------- */

int layer_pin_locked(struct layer *layer)
{
	struct disks *disks = layer->disks;
	struct disk *owner;

	/*
	 * Pinned before the fold has stopped, so that the fold does not begin again in between.
	 * That is why only a fold of this very layer is waited for: a pin does not keep a fold
	 * further down from beginning, so it would be stopped again and again, for ever.
	 */
	layer->pins++;
	while (!layer->removed && (owner = find_owner_locked(layer))) {
		fold_stop_locked(owner);
		pthread_cond_wait(&disks->changed, &disks->lock);
	}
	if (!layer->removed)
		return 0;
	layer->pins--;
	pthread_cond_broadcast(&disks->changed);
	return -ESTALE;
}

int layer_look_on(struct layer *layer, struct onlooker *ret_onlooker)
{
	struct disks *disks = layer->disks;
	struct disk *owner;
	int r = 0;

	LOCKED (&disks->lock) {
		r = onlookers_enter_locked(disks, &layer->onlookers, ret_onlooker);
		while (r == 0 && !layer->removed && (owner = find_owner_locked(layer))) {
			r = fold_yields_to_onlooker_locked(owner) ? 0 : -ESTALE;
			if (r == 0)
				pthread_cond_wait(&disks->changed, &disks->lock);
			else
				onlookers_leave_locked(ret_onlooker);
		}
		if (r == 0 && layer->removed) {
			onlookers_leave_locked(ret_onlooker);
			r = -ESTALE;
		}
	}
	return r;
}

int layer_pin(struct layer *layer)
{
	int r = 0;

	LOCKED (&layer->disks->lock)
		r = layer_pin_locked(layer);
	log_debug("disk", "layer %s: %s", layer->record.id,
		  r == 0 ? "pinned" : "not pinned, for a fold has removed it");
	return r;
}

struct layer *layer_pin_snapshot_locked(struct disk *disk, const char *snapshot)
{
	struct layer *layer;

	while ((layer = disk_find_snapshot_locked(disk, snapshot))) {
		layer_get_locked(layer);
		if (layer_pin_locked(layer) == 0)
			return layer;
		layer_put_locked(layer);
	}
	return NULL;
}

struct layer *layer_pin_snapshot(struct disk *disk, const char *snapshot)
{
	struct layer *layer = NULL;

	LOCKED (&disk->disks->lock)
		layer = layer_pin_snapshot_locked(disk, snapshot);
	if (layer)
		log_debug("disk", "layer %s: pinned, as snapshot '%s' of disk '%s'", layer->record.id, snapshot,
			  disk->name);
	return layer;
}

void layer_unpin(struct layer *layer)
{
	log_debug("disk", "layer %s: unpinned", layer->record.id);
	LOCKED (&layer->disks->lock) {
		layer->pins--;
		pthread_cond_broadcast(&layer->disks->changed);
		layer_put_locked(layer);
	}
}

/* --- claims ----------------------------------------------------------------------------------- */

/*
 * 0, -ENOENT when the disk was removed, or -EAGAIN when it is claimed or a fold runs over its
 * layers, which is asked to stop.
 */
static int try_claim_locked(struct disk *disk)
{
	bool fold_runs = !disk->removed && disk->head && fold_owns_chain_locked(disk_base(disk));

	if (disk->removed)
		return -ENOENT;
	if (fold_runs)
		fold_ask_to_stop_locked(disk_base(disk));
	if (fold_runs || disk->claimed)
		return -EAGAIN;
	disk->claimed = true;
	return 0;
}

static int wait_and_claim_locked(struct disk *disk)
{
	int r;

	while ((r = try_claim_locked(disk)) == -EAGAIN) {
		disk->waiting++;
		pthread_cond_wait(&disk->disks->changed, &disk->disks->lock);
		disk->waiting--;
	}
	return r;
}

int disk_claim(struct disk *disk)
{
	struct disks *disks = disk->disks;
	bool by_verb = false;
	int r = -EAGAIN;

	LOCKED (&disks->lock) {
		by_verb = disk->claimed;
		r = try_claim_locked(disk);
	}
	if (r == -EAGAIN) {
		log_debug("disk", "'%s': to be claimed, waits for %s", disk->name,
			  by_verb ? "the command that has it" : "a fold to yield");
		LOCKED (&disks->lock)
			r = wait_and_claim_locked(disk);
	}
	log_debug("disk", "'%s': %s", disk->name, r == 0 ? "claimed" : "not claimed, for it is gone");
	return r;
}

int disk_claim_idle(struct disk *disk)
{
	int r = 0;

	LOCKED (&disk->disks->lock) {
		if (disk->removed)
			r = -ENOENT;
		else if (disk->claimed || (disk->head && fold_owns_chain_locked(disk_base(disk))))
			r = -EAGAIN;
		else
			disk->claimed = true;
	}
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
	log_debug("disk", "'%s': released", disk->name);
	LOCKED (&disk->disks->lock)
		disk_unclaim_locked(disk);
}

void disk_release_claim(struct disk *disk)
{
	log_debug("disk", "'%s': released", disk->name);
	LOCKED (&disk->disks->lock) {
		disk_unclaim_locked(disk);
		disk_put_locked(disk);
	}
}

/* --- waiting for descriptors ------------------------------------------------------------------ */

static bool has_writers_locked(const struct disk *disk)
{
	return disk->scratch && disk->scratch->writers;
}

static bool has_onlookers_locked(const struct disk *disk)
{
	return disk->scratch && onlookers_obstruct(&disk->scratch->onlookers);
}

/* Whether it is still so after a while in which descriptors may close. */
static bool stays_open(struct disk *disk, bool (*is_open_locked)(const struct disk *disk))
{
	struct disks *disks = disk->disks;
	struct timespec deadline;
	bool stays = false;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += WRITER_WAIT_MS / 1000;
	LOCKED (&disks->lock) {
		while ((stays = is_open_locked(disk)))
			if (pthread_cond_timedwait(&disks->changed, &disks->lock, &deadline) == ETIMEDOUT)
				break;
		stays = is_open_locked(disk);
	}
	return stays;
}

static void cut_onlookers(struct disk *disk)
{
	unsigned count = 0;

	LOCKED (&disk->disks->lock)
		count = disk->scratch ? onlookers_cut_locked(&disk->scratch->onlookers) : 0;
	if (count)
		log_warning("disk '%s': what %u descriptors of readers read is answered ESTALE from now on", disk->name,
			    count);
}

int disk_wait_for_writers(struct disk *disk, struct sentence *error)
{
	if (stays_open(disk, has_writers_locked))
		return report(error, -EBUSY,
			      "disk '%s' is open for writing; stop the domain or program that uses it first",
			      disk->name);
	return 0;
}

int disk_wait_for_all(struct disk *disk, struct sentence *error)
{
	bool is_open = stays_open(disk, disk_is_kept_open_locked);

	if (!is_open && stays_open(disk, has_onlookers_locked)) {
		cut_onlookers(disk);
		is_open = stays_open(disk, has_onlookers_locked);
	}
	return is_open ? report(error, -EBUSY, "disk '%s' is open; close it first", disk->name) : 0;
}
