/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may be folded, and when.
 */
#ifndef REVERTFS_JOBS_FOLDABLE_H
#define REVERTFS_JOBS_FOLDABLE_H

#include "model.h"

/*
 * The next layer of the disk's history that may be folded into its parent, whoever reads it now;
 * borrowed, or NULL.
 */
struct layer *fold_candidate_locked(const struct disk *disk);

/*
 * Whether the disk has layers that only wait for a snapshot to be deleted or another disk to move
 * on; `ret_why` says which. Not for those that keep-revisions keeps.
 */
bool fold_is_obstructed(struct disk *disk, struct sentence *ret_why);

/*
 * Whether nobody uses the two files: then a fold may start. Else `why` (NULL: nobody asks) says who
 * does.
 */
bool fold_may_run_locked(const struct layer *layer, struct sentence *why);

/*
 * Whether another disk's fold is at work on files that this one would need: disks share layers
 * where clones are. It ends by itself.
 */
bool fold_has_rival_locked(const struct layer *layer);

/*
 * Whether the disk has layers that are to be folded and are not being folded; `why` says what they
 * wait for: a queued fold, that it may run; else, that whoever keeps them lets go.
 */
bool fold_waits_for_locked(const struct disk *disk, struct sentence *why);

/*
 * How many layers the head has above the image; whether that is `limit` or more, and why they are
 * not folded.
 */
size_t fold_depth_locked(const struct disk *disk);
bool fold_is_overdue_locked(const struct disk *disk, size_t limit, struct sentence *why);

#endif
