/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folding: merging a layer into its parent with `qemu-img commit`.
 */
#ifndef REVERTFS_DISK_FOLD_H
#define REVERTFS_DISK_FOLD_H

#include "model.h"

/*
 * Fold the layer. The caller has made disk->job RUNNING with this layer, under the lock, so that
 * nothing else touches the chain. Blocks as long as copying the layer takes. -ECANCELED when it was
 * asked to stop, and may be run again; -ENOSPC with the layer's record as it was where it would not
 * leave the reserve (reserve.h); another errno with a sentence when it failed, and may be run again
 * too.
 */
int fold_run(struct disk *disk, struct layer *layer, struct sentence *error);

#endif
