/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking for background work on a disk.
 *
 * No function wants disks->lock held.
 */
#ifndef REVERTFS_JOBS_JOB_H
#define REVERTFS_JOBS_JOB_H

#include "caller.h"
#include "model.h"

/*
 * Queue a fold of this disk where there is something to fold; the clones that follow it are moved
 * on first. Ends an earlier cancel. Does nothing where the disk was removed, or its record
 * could not be read. Does not wait.
 */
void job_queue(struct disk *disk);

/*
 * After a name, a head or a clone on layers of this image has gone: queue a fold of each disk of
 * the image that has something to fold by now. Cancelled folds stay cancelled. Does not wait.
 */
void job_look_again(const struct layer *root);

/*
 * After a fold has ended: remove the layers that were left to it (gc.h), and look again, for the
 * job of a disk whose fold they obstructed may have ended meanwhile. Blocks for the medium.
 */
void job_remove_given_up(struct disks *disks);

/*
 * After a commit: with max-layers or more above the image say so in the log and in *ret_warning,
 * and what keeps them from being folded; so where something is wrong with the image. Else
 * *ret_warning becomes "". One that it has already is logged, and stays.
 */
void job_warn(struct disk *disk, struct sentence *ret_warning);

/*
 * Fold all that may be folded, and wait for the end. -EBUSY with a sentence when the fold may not
 * begin, has yielded or was cancelled; -ENOENT when the disk was removed, -EIO when its record
 * could not be read; -EINTR when the caller was interrupted (the fold goes on); or what the fold
 * failed with.
 */
int job_fold_now(struct disk *disk, struct caller *caller, struct sentence *error);

/*
 * Stop the disk's jobs, running or queued, and wait for that: exports and full clones, of which
 * nothing is left, and the fold, which does not begin again before the next commit, `fold` or
 * start. A number stops the export or full clone of that number alone, JOB_FOLD the fold alone, 0
 * all. -ENOENT when there is none.
 */
#define JOB_FOLD UINT64_MAX
int job_cancel(struct disk *disk, uint64_t number, struct sentence *error);

/*
 * The layers of a disk, which the caller has claimed, were given up: a queued fold that has nothing
 * to fold any more ends, however long it was to wait after a failure. Does not wait.
 */
void job_end_empty(struct disk *disk);

/*
 * Stop the disk's fold, running or queued, wait for that, and take the disk, which the caller has
 * claimed, out of the table. The claim has stopped the folds of its own chain; one of a side branch
 * may still run.
 */
void job_remove_disk(struct disk *disk);

#endif
