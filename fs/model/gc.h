/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layers that nothing needs any more go, with their files.
 */
#ifndef REVERTFS_MODEL_GC_H
#define REVERTFS_MODEL_GC_H

#include "model.h"

/*
 * Remove the layer, and then its ancestors, as far as nothing needs them: no head, hold, name,
 * child or fold. Never when a record could not be read. The caller has a reference to the layer,
 * and not disks->lock.
 */
void gc_layer(struct layer *layer);

/* The same for those that a fold, which has ended, still needed. */
void gc_given_up(struct disks *disks);

#endif
