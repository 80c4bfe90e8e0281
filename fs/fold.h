/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folding: merging a layer into its parent with `qemu-img commit`.
 */
#ifndef REVERTFS_FOLD_H
#define REVERTFS_FOLD_H

#include "model.h"

/* The next layer of the disk's history that may be folded into its parent, whoever reads it now; borrowed, or NULL. */
struct layer *fold_candidate_locked(const struct disk *disk);

/* Whether nobody uses the two files: then a fold may start. Else `why` (NULL: nobody asks) says who does. */
bool fold_may_run_locked(const struct layer *layer, struct sentence *why);

/* Fold it. The caller has made disk->job RUNNING with this layer under the lock, so that nobody else touches the chain. -ECANCELED when it was stopped. */
int fold_run(struct disk *disk, struct layer *layer, struct sentence *error);

#endif
