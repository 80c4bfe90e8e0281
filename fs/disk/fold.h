/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folding: merging a layer into its parent with `qemu-img commit`.
 */
#ifndef REVERTFS_DISK_FOLD_H
#define REVERTFS_DISK_FOLD_H

#include "model.h"

/*
 * Fold it. The caller has made disk->job RUNNING with this layer under the lock, so that nobody
 * else touches the chain. -ECANCELED when it was stopped.
 */
int fold_run(struct disk *disk, struct layer *layer, struct sentence *error);

#endif
