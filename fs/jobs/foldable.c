/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fold (disk/fold.c) destroys what the layer's parent was. So the parent must have no other child
 * and no meaning of its own: no name, no disk's head or hold, no revision that a disk keeps. And
 * while it runs, nothing else may use one of the two files.
 */
#include "foldable.h"

#include <errno.h>
#include <string.h>

#include "aside.h"
#include "command.h"
#include "image_stamp.h"
#include "layer.h"
#include "lock.h"
#include "session.h"
#include "transfer.h"

/* Whether the layer's parent has a meaning of its own. */
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
static bool is_revision_locked(const struct disk *disk, const struct layer *layer)
{
	const struct layer *revision = disk->head;

	for (uint64_t n = 0; revision && n < record_revisions(&disk->record); n++) {
		if (revision == layer)
			return true;
		revision = revision->parent;
	}
	return false;
}

static bool is_revision_of_any_locked(const struct layer *layer)
{
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (is_revision_locked(disk, layer))
			return true;
	return false;
}

static bool is_to_be_folded_locked(const struct layer *layer)
{
	return layer->record.state == LAYER_FOLDING ||
	       (!parent_is_chosen_locked(layer) && !is_revision_of_any_locked(layer));
}

bool fold_shuns_image_locked(const struct disk *disk, const struct layer *layer, struct sentence *why)
{
	const char *shared = layer->parent->record.image ? image_shared_locked(layer->parent) : NULL;

	if (shared)
		report(why, -EPERM,
		       "disk '%s': its commits stay above its image, which lies on a filesystem (%s) that other hosts may see; where none uses these images, images-are-mine=yes has commits folded into them",
		       disk->name, shared);
	return shared;
}

static bool may_be_folded_locked(const struct disk *disk, const struct layer *layer)
{
	return layer->parent && !fold_shuns_image_locked(disk, layer, NULL) && is_to_be_folded_locked(layer);
}

/*
 * The lowest foldable layer of a chain comes first, so that each byte is copied once on its way to
 * the image; but before it, a fold that was begun is finished. Not into an image that other hosts
 * may read: there the layer stays as it is, and those above it are folded into it.
 */
static struct layer *lowest_foldable_locked(const struct disk *disk, struct layer *layer)
{
	struct layer *candidate = NULL;

	for (; layer; layer = layer->parent) {
		if (!may_be_folded_locked(disk, layer))
			continue;
		if (layer->record.state == LAYER_FOLDING)
			return layer;
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
	struct layer *candidate = lowest_foldable_locked(disk, disk->head);

	if (!candidate)
		candidate = lowest_foldable_locked(disk, disk->hold);
	/* Side branches: a snapshot that was deleted between two others. */
	for (struct layer *layer = disk->disks->layers; layer && !candidate; layer = layer->next)
		if (has_name_of(layer, disk))
			candidate = lowest_foldable_locked(disk, layer);
	return candidate;
}

/* A name of the layer or of one that stands on it, but not of the branch `except`; or NULL. */
static const struct layer_name *find_keeper_locked(const struct layer *layer, const struct layer *except)
{
	for (const struct layer *other = layer->disks->layers; other; other = other->next)
		if (other->record.name_count && layer_is_below_locked(layer, other) &&
		    !layer_is_below_locked(except, other))
			return &other->record.names[0];
	return NULL;
}

/*
 * The first disk whose scratches stand on the layer or on one above it, but not on the branch
 * `except`, or NULL; and how many such disks there are.
 */
static const struct disk *find_user_locked(const struct layer *layer, const struct layer *except, size_t *ret_count)
{
	const struct disk *first = NULL;

	*ret_count = 0;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk) {
		if (!disk->head || !layer_is_below_locked(layer, disk_base(disk)) ||
		    layer_is_below_locked(except, disk_base(disk)))
			continue;
		first = first ? first : disk;
		++*ret_count;
	}
	return first;
}

/* Of a snapshot that nobody asked for, what to do is said, too. */
static void report_keeper(const struct disk *disk, const struct layer_name *keeper, struct sentence *why)
{
	struct sentence quoted_disk, quoted_snapshot;
	const char *of = quote_name(keeper->disk, &quoted_disk);
	const char *snapshot = quote_name(keeper->snapshot, &quoted_snapshot);

	if (aside_is_name(keeper->snapshot))
		report(why, 0,
		       "disk '%s': its last commit is not folded as long as '%s' has the snapshot '%s', which was sealed aside; 'revertctl delete %s %s' drops that, 'revertctl revert %s %s' goes back to it",
		       disk->name, keeper->disk, keeper->snapshot, of, snapshot, of, snapshot);
	else
		report(why, 0, "disk '%s': its last commit is not folded as long as '%s' has the snapshot '%s'",
		       disk->name, keeper->disk, keeper->snapshot);
}

static void report_obstruction_locked(const struct disk *disk, struct sentence *why)
{
	const struct layer_name *keeper = find_keeper_locked(disk->head->parent, disk->head);
	const struct disk *user;
	size_t count;

	if (keeper) {
		report_keeper(disk, keeper, why);
		return;
	}
	user = find_user_locked(disk->head->parent, disk->head, &count);
	if (!user)
		report(why, 0, "disk '%s': its last commit is not folded as long as another layer stands on its parent",
		       disk->name);
	else if (count == 1)
		report(why, 0, "disk '%s': its last commit is not folded as long as '%s' begins at what it stands on",
		       disk->name, user->name);
	else
		report(why, 0,
		       "disk '%s': its last commit is not folded as long as '%s' and %zu more begin at what it stands on",
		       disk->name, user->name, count - 1);
}

/* Whether commits would be folded into the image, if other hosts could not read it. */
static bool stays_above_image_locked(const struct disk *disk, struct sentence *why)
{
	const struct layer *layer = disk->head;

	while (layer->parent->parent)
		layer = layer->parent;
	return is_to_be_folded_locked(layer) && fold_shuns_image_locked(disk, layer, why);
}

/* A disk whose record could not be read has no head. */
static bool is_obstructed_locked(const struct disk *disk, struct sentence *why)
{
	if (!disk->head || !disk->head->parent || fold_candidate_locked(disk))
		return false;
	if (!parent_is_chosen_locked(disk->head) || is_revision_of_any_locked(disk->head))
		return stays_above_image_locked(disk, why);
	report_obstruction_locked(disk, why);
	return true;
}

bool fold_is_obstructed(struct disk *disk, struct sentence *ret_why)
{
	bool obstructed = false;

	LOCKED (&disk->disks->lock)
		obstructed = is_obstructed_locked(disk, ret_why);
	return obstructed;
}

/* The claim of the disk `asking` does not count: it belongs to the verb that asks. NULL: none. */
static bool disk_is_used_locked(const struct disk *disk, const struct disk *asking, struct sentence *why)
{
	const char *how = NULL;

	if ((disk->claimed && disk != asking) || disk->waiting)
		how = "is being worked on";
	else if (session_is_active_locked(disk))
		how = "is in a session";
	else if (disk_is_kept_open_locked(disk))
		how = "is open";
	if (how)
		report(why, -EBUSY, "disk '%s' %s; the fold goes on by itself when that has ended", disk->name, how);
	return how != NULL;
}

bool fold_changes_locked(const struct layer *folded, const struct layer *layer)
{
	return layer == folded || layer == folded->parent || layer->parent == folded;
}

bool fold_moves_locked(const struct layer *folded, const struct disk *disk)
{
	return disk->head && layer_is_below_locked(folded->parent, disk_base(disk));
}

/* A pinned layer of those that a fold changes, or NULL. */
static const struct layer *find_open_locked(const struct layer *folded)
{
	const struct layer *layer = folded->disks->layers;

	while (layer && !(layer->pins && fold_changes_locked(folded, layer)))
		layer = layer->next;
	return layer;
}

/* Onlookers of a file that a fold changes. True when there are any. */
static bool report_onlookers_locked(const struct layer *folded, struct sentence *why)
{
	const struct layer *layer = folded->disks->layers;
	const struct disk *disk = folded->disks->first;
	unsigned left_s = (unsigned)((patience_left_ms_locked(folded) + 999) / 1000);

	while (layer && !(fold_changes_locked(folded, layer) && onlookers_obstruct(&layer->onlookers)))
		layer = layer->next;
	while (disk &&
	       !(disk->scratch && fold_moves_locked(folded, disk) && onlookers_obstruct(&disk->scratch->onlookers)))
		disk = disk->next_disk;
	if (layer)
		report(why, -EBUSY,
		       "somebody reads layer %s; the fold goes on by itself when that has ended, or in %u s",
		       layer->record.id, left_s);
	else if (disk)
		report(why, -EBUSY,
		       "somebody reads disk '%s'; the fold goes on by itself when that has ended, or in %u s",
		       disk->name, left_s);
	return layer || disk;
}

/*
 * A record that could not be read at start may name the layer's parent, as a head, a hold or a
 * revision that is kept. Where the fold has begun already, the parent alone means nothing.
 */
static bool may_be_needed_by_unread_locked(const struct layer *layer)
{
	return layer->disks->incomplete && layer->record.state != LAYER_FOLDING;
}

/* Whether nothing but onlookers keeps the fold from running. */
static bool may_cut_locked(const struct layer *layer, const struct disk *asking, struct sentence *why)
{
	const struct layer *parent = layer->parent, *open = find_open_locked(layer);
	const struct transfer *transfer = open ? transfer_reading_locked(parent) : NULL;

	if (may_be_needed_by_unread_locked(layer)) {
		report(why, -EBUSY,
		       "layer %s is not folded, for a record in the state directory could not be read at start and may need its parent; see the log",
		       layer->record.id);
		return false;
	}
	if (transfer) {
		report(why, -EBUSY, "disk '%s' is being copied to '%s'; the fold goes on by itself when that has ended",
		       transfer->disk->name, transfer->target);
		return false;
	}
	/*
	 * Before the pins: a guest reads the layers too, and its disk's name says more than an id.
	 */
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (fold_moves_locked(layer, disk) && disk_is_used_locked(disk, asking, why))
			return false;
	if (open) {
		report(why, -EBUSY, "somebody reads layer %s; the fold goes on by itself when that has ended",
		       open->record.id);
		return false;
	}
	return true;
}

static bool may_run_locked(const struct layer *layer, const struct disk *asking, struct sentence *why)
{
	return may_cut_locked(layer, asking, why) && !report_onlookers_locked(layer, why);
}

/*
 * A fold writes the parent's file and the layer's own, and reads all below. So two folds exclude
 * each other when the parent of one lies in the chain of the other.
 */
static const struct disk *find_rival_locked(const struct layer *layer)
{
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->job.state == JOB_RUNNING && (layer_is_below_locked(disk->job.layer->parent, layer) ||
						       layer_is_below_locked(layer->parent, disk->job.layer)))
			return disk;
	return NULL;
}

bool fold_has_rival_locked(const struct layer *layer)
{
	return find_rival_locked(layer) != NULL;
}

bool fold_may_run_locked(const struct layer *layer, struct sentence *why)
{
	return may_run_locked(layer, NULL, why);
}

bool fold_waits_for_onlookers_locked(const struct layer *layer)
{
	return may_cut_locked(layer, NULL, NULL) && report_onlookers_locked(layer, NULL);
}

/* Say what a queued fold waits for. */
static void report_wait_locked(const struct disk *disk, const struct layer *layer, struct sentence *why)
{
	const struct disk *rival = find_rival_locked(layer);
	uint64_t now = monotonic_ms();

	if (!may_run_locked(layer, disk, why))
		return;
	if (rival)
		report(why, -EBUSY, "disk '%s' is folding layers that both stand on", rival->name);
	else if (transfer_runs_locked(disk))
		report(why, -EBUSY, "disk '%s': another job of it runs", disk->name);
	else if (now < disk->job.not_before && disk->job.short_of_room)
		report(why, -EBUSY, "%s", disk->job.error.text);
	else if (now < disk->job.not_before)
		report(why, -EBUSY, "disk '%s': the fold failed and is tried again in %u s", disk->name,
		       (unsigned)((disk->job.not_before - now) / 1000 + 1));
	else
		report(why, -EBUSY, "disk '%s': the fold is about to begin", disk->name);
}

bool fold_waits_for_locked(const struct disk *disk, struct sentence *why)
{
	const struct layer *layer = disk->head && disk->job.state != JOB_RUNNING ? fold_candidate_locked(disk) : NULL;

	/* A clone that follows is left out: its layers are folded for its origin. */
	if (!disk->head || disk->job.state == JOB_RUNNING || disk->record.follow)
		return false;
	if (!layer)
		return is_obstructed_locked(disk, why);
	if (disk->job.state == JOB_QUEUED)
		report_wait_locked(disk, layer, why);
	else
		report(why, -EBUSY, "disk '%s': the fold was cancelled; 'fold' takes it up again", disk->name);
	return true;
}

size_t fold_depth_locked(const struct disk *disk)
{
	return disk->head ? layer_depth_locked(disk->head) - 1 : 0;
}

bool fold_is_overdue_locked(const struct disk *disk, size_t limit, struct sentence *why)
{
	size_t depth = fold_depth_locked(disk);
	struct sentence cause = { "" };

	if (depth < limit)
		return false;
	if (disk->job.state == JOB_RUNNING)
		report(&cause, 0, "a fold is running");
	else if (!fold_waits_for_locked(disk, &cause))
		report(&cause, 0, "keep-revisions keeps them");
	report(why, -EBUSY, "disk '%s' has %zu layers above its image (max-layers is %u): %s", disk->name, depth,
	       disk->disks->options->max_layers, cause.text);
	return true;
}
