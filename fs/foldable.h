/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may be folded, and when.
 */
#ifndef REVERTFS_FOLDABLE_H
#define REVERTFS_FOLDABLE_H

#include "model.h"

/* The next layer of the disk's history that may be folded into its parent, whoever reads it now; borrowed, or NULL. */
struct layer *fold_candidate_locked(const struct disk *disk);

/* Whether nobody uses the two files: then a fold may start. Else `why` (NULL: nobody asks) says who does. */
bool fold_may_run_locked(const struct layer *layer, struct sentence *why);

#endif
