/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking for background work on a disk. It has at most one job.
 */
#ifndef REVERTFS_JOBS_JOB_H
#define REVERTFS_JOBS_JOB_H

#include <json-c/json.h>

#include "caller.h"
#include "model.h"

/*
 * A fold for this disk, when it may run; does nothing when there is one already. Forgets a cancel.
 */
void job_queue(struct disk *disk);

/*
 * Something that stood on layers of this image is gone (a name, a head, a clone): whoever has
 * something to fold by now is queued. Cancelled folds stay so.
 */
void job_look_again(const struct layer *root);

/*
 * After a commit: with max-layers or more above the image say so in the log and in `answer`, and
 * what keeps them from being folded.
 */
void job_warn(struct disk *disk, struct json_object *answer);

/*
 * Fold all that may be folded, and wait for the end. -EBUSY with a sentence that says what keeps it
 * from running or made it stop, -EINTR when the caller went away (the fold goes on), or what the
 * fold failed with.
 */
int job_fold_now(struct disk *disk, struct caller *caller, struct sentence *error);

/*
 * Stop what the disk has running or waiting: exports and full clones, of which nothing is left
 * then, and the fold, which is not taken up again by itself before the next commit or start. With a
 * number just the export or full clone of that number, with JOB_FOLD just the fold. -ENOENT when
 * there is none.
 */
#define JOB_FOLD UINT64_MAX
int job_cancel(struct disk *disk, uint64_t number, struct sentence *error);

/* Whether the disk had a fold: it has stopped now. Out of the table it gets no other. */
bool job_stop_fold(struct disk *disk);

#endif
