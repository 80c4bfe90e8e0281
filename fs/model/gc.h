/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Garbage collection: layers that nothing needs are removed, with their files.
 */
#ifndef REVERTFS_MODEL_GC_H
#define REVERTFS_MODEL_GC_H

#include "model.h"

/*
 * Remove the layer, and then its ancestors, as far as nothing needs them: no head, hold, name,
 * child or fold, and no verb that makes it a head (layer->chosen). Nothing is removed when start-up
 * could not read a record. The caller has a reference to the layer, and not disks->lock. Blocks for
 * the medium.
 */
void gc_layer(struct layer *layer);

/*
 * After a fold has ended: the same for one of the layers that nothing but the fold needed. The root
 * that it stood on, a reference: what is beside it may be folded now. NULL: there was none.
 */
struct layer *gc_given_up(struct disks *disks);

#endif
