/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which layer of a disk may be folded into its parent, and whether that fold may begin. These look
 * at the tree of layers and change nothing.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it. None waits.
 */
#ifndef REVERTFS_JOBS_FOLDABLE_H
#define REVERTFS_JOBS_FOLDABLE_H

#include "model.h"

/*
 * The next layer of the disk's history to be folded, whether it is in use or not. Borrowed, or
 * NULL.
 */
struct layer *fold_candidate_locked(const struct disk *disk);

/*
 * Whether the fold of a layer that the disk has would write an image that other hosts may read,
 * which none does; `why`, or NULL, says so.
 */
bool fold_shuns_image_locked(const struct disk *disk, const struct layer *layer, struct sentence *why);

/*
 * Whether the disk's last commit cannot be folded before a snapshot is deleted or another disk has
 * moved on, or not at all, since other hosts may read the image; `ret_why` says which. What
 * keep-revisions keeps is not meant.
 */
bool fold_is_obstructed(struct disk *disk, struct sentence *ret_why);

/*
 * Whether nothing uses the two files, so that the fold may begin; else `why`, or NULL, says what.
 */
bool fold_may_run_locked(const struct layer *layer, struct sentence *why);

/* Whether nothing but onlookers (model/onlookers.h) keeps it from beginning. */
bool fold_waits_for_onlookers_locked(const struct layer *layer);

/*
 * Which files a fold of a layer changes: that of the layer, of its parent, and of its children,
 * whose headers get another parent; and the scratches of which disks may be moved.
 */
bool fold_changes_locked(const struct layer *folded, const struct layer *layer);
bool fold_moves_locked(const struct layer *folded, const struct disk *disk);

/*
 * Whether another disk's fold is running on files that this one would need, which ends by itself:
 * clones share layers.
 */
bool fold_has_rival_locked(const struct layer *layer);

/*
 * Whether the disk has layers that are to be folded and are not being folded. `why` says what they
 * wait for: why a queued fold does not begin, that the fold was cancelled, or what obstructs it.
 */
bool fold_waits_for_locked(const struct disk *disk, struct sentence *why);

/*
 * How many layers lie above the image, up to the head. Whether that is `limit` or more; `why` says
 * so, and why they are not folded.
 */
size_t fold_depth_locked(const struct disk *disk);
bool fold_is_overdue_locked(const struct disk *disk, size_t limit, struct sentence *why);

#endif
