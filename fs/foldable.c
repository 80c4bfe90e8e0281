/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pure look at the tree of layers: which fold is next, and whether it may begin. fold.c does it.
 *
 * A fold of a layer destroys what its parent was. So the parent must have no other child and mean nothing by itself: no name, no disk's head or hold, no
 * revision that a disk keeps; and to begin, nobody may have either of the two files in use.
 */
#include "foldable.h"

#include <errno.h>
#include <string.h>

#include "layer.h"
#include "session.h"
#include "transfer.h"

/* Whether the layer's parent means something to somebody besides being its parent. */
static bool parent_is_chosen_locked(const struct layer *layer)
{
	const struct layer *parent = layer->parent;

	if (parent->children != 1 || parent->record.name_count)
		return true;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head == parent || disk->hold == parent)
			return true;
	return false;
}

/* Whether undoing as many commits as the disk keeps would choose the layer's parent. */
static bool is_kept_revision_locked(const struct disk *disk, const struct layer *layer)
{
	const struct layer *revision = disk->head;

	for (uint64_t n = 0; revision && n < record_revisions(&disk->record); n++) {
		if (revision == layer)
			return true;
		revision = revision->parent;
	}
	return false;
}

static bool is_kept_locked(const struct layer *layer)
{
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (is_kept_revision_locked(disk, layer))
			return true;
	return false;
}

static bool may_be_folded_locked(const struct layer *layer)
{
	if (!layer->parent)
		return false;
	return layer->record.state == LAYER_FOLDING || (!parent_is_chosen_locked(layer) && !is_kept_locked(layer));
}

/* The lowest foldable layer of a chain: so each byte is copied once on its way to the image. One that is folding already comes first. */
static struct layer *lowest_foldable_locked(struct layer *layer)
{
	struct layer *candidate = NULL;

	for (; layer; layer = layer->parent) {
		if (layer->record.state == LAYER_FOLDING)
			return layer;
		if (may_be_folded_locked(layer))
			candidate = layer;
	}
	return candidate;
}

static bool has_name_of(const struct layer *layer, const struct disk *disk)
{
	for (size_t i = 0; i < layer->record.name_count; i++)
		if (strcmp(layer->record.names[i].disk, disk->name) == 0)
			return true;
	return false;
}

struct layer *fold_candidate_locked(const struct disk *disk)
{
	struct layer *candidate = lowest_foldable_locked(disk->head);

	if (!candidate)
		candidate = lowest_foldable_locked(disk->hold);
	/* Side branches: a snapshot that was deleted between two others. */
	for (struct layer *layer = disk->disks->layers; layer && !candidate; layer = layer->next)
		if (has_name_of(layer, disk))
			candidate = lowest_foldable_locked(layer);
	return candidate;
}

/* A name that keeps the layer or something that stands on it, but on the branch `except`. */
static const struct layer_name *find_keeper_locked(const struct layer *layer, const struct layer *except)
{
	for (const struct layer *other = layer->disks->layers; other; other = other->next)
		if (other->record.name_count && layer_is_below_locked(layer, other) &&
		    !layer_is_below_locked(except, other))
			return &other->record.names[0];
	return NULL;
}

bool fold_is_obstructed(struct disk *disk, struct sentence *ret_why)
{
	const struct layer_name *keeper;
	bool obstructed;

	pthread_mutex_lock(&disk->disks->lock);
	obstructed = disk->head->parent && !fold_candidate_locked(disk) && parent_is_chosen_locked(disk->head) &&
		     !is_kept_locked(disk->head);
	if (obstructed) {
		keeper = find_keeper_locked(disk->head->parent, disk->head);
		if (keeper)
			report(ret_why, 0,
			       "disk '%s': its last commit is not folded as long as '%s' has the snapshot '%s'",
			       disk->name, keeper->disk, keeper->point);
		else
			report(ret_why, 0,
			       "disk '%s': its last commit is not folded as long as another disk begins at what it stands on",
			       disk->name);
	}
	pthread_mutex_unlock(&disk->disks->lock);
	return obstructed;
}

static bool disk_is_used_locked(const struct disk *disk, struct sentence *why)
{
	const char *how = NULL;

	if (disk->claimed || disk->waiting)
		how = "is being worked on";
	else if (session_is_active_locked(disk))
		how = "is in a session";
	else if (disk->scratch && (disk->scratch->readers || disk->scratch->writers))
		how = "is open";
	if (how)
		report(why, -EBUSY, "disk '%s' %s; the fold goes on by itself when that has ended", disk->name, how);
	return how != NULL;
}

bool fold_may_run_locked(const struct layer *layer, struct sentence *why)
{
	const struct layer *parent = layer->parent;

	const struct transfer *transfer = layer->open || parent->open ? transfer_reading_locked(parent) : NULL;

	if (transfer) {
		report(why, -EBUSY, "disk '%s' is being copied to '%s'; the fold goes on by itself when that has ended",
		       transfer->disk->name, transfer->target);
		return false;
	}
	if (layer->open || parent->open) {
		report(why, -EBUSY, "somebody reads layer %s; the fold goes on by itself when that has ended",
		       layer->open ? layer->record.id : parent->record.id);
		return false;
	}
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head && layer_is_below_locked(parent, disk_base(disk)) && disk_is_used_locked(disk, why))
			return false;
	return true;
}

void fold_waits_for_locked(const struct disk *disk, struct sentence *why)
{
	const struct layer *layer = disk->job.state == JOB_QUEUED ? fold_candidate_locked(disk) : NULL;
	uint64_t now = monotonic_ms();

	if (!layer || !fold_may_run_locked(layer, why))
		return;
	if (transfer_runs_locked(disk))
		report(why, -EBUSY, "another job of this disk");
	else if (now < disk->job.not_before)
		report(why, -EBUSY, "it failed, and is tried again in %u s",
		       (unsigned)((disk->job.not_before - now) / 1000 + 1));
	else
		report(why, -EBUSY, "one of max-jobs=%u to end", disk->disks->options->max_jobs);
}
