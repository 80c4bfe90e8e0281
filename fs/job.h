/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Background work: threads that fold layers, make templates ahead, free the blocks of old scratches and start write-back.
 *
 * A disk has at most one job. Functions ending in _locked want disks->lock held.
 */
#ifndef REVERTFS_JOB_H
#define REVERTFS_JOB_H

#include "control.h"
#include "model.h"

int job_start_workers(struct disks *disks);
void job_stop_workers(struct disks *disks); /* waits until they are gone; running folds stop first */

/* A fold for this disk, when it may run; does nothing when there is one already. Forgets a cancel. */
void job_queue(struct disk *disk);

/*
 * Fold all that may be folded, and wait for the end. -EBUSY with a sentence that says what keeps it from running or made it stop, -EINTR when
 * the caller went away (the fold goes on), or what the fold failed with.
 */
int job_fold_now(struct disk *disk, struct caller *caller, struct sentence *error);

/* Stop a fold and do not take it up again by itself before the next commit or start. -ENOENT when there is none. */
int job_cancel(struct disk *disk, struct sentence *error);

/* Whether a fold that runs owns a file of the chain that ends in `base`, and asking it to stop. */
bool job_touches_locked(const struct layer *base);
void job_stop_touching_locked(const struct layer *base);

#endif
