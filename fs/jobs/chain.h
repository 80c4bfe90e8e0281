/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A chain: a layer and all its ancestors. Its files, as qemu-img is given them; and keeping folds
 * away from it while it is read.
 */
#ifndef REVERTFS_JOBS_CHAIN_H
#define REVERTFS_JOBS_CHAIN_H

#include "model.h"
#include "qemu_img.h"

struct chain {
	struct qemu_node *nodes; /* the top first */
	size_t length;
};

/*
 * Open the files from the layer down to the root; the first `writable` of them for writing too.
 * After an error too, chain_close() closes what was opened. A negative errno with a sentence.
 */
int chain_open(struct layer *layer, size_t writable, struct chain *chain, struct sentence *error);

void chain_close(struct chain *chain); /* for CLEANUP() */

/*
 * Pin each layer of the chain, so that none of them is folded, and wait until a fold that runs
 * there has yielded. Nothing is pinned after -ESTALE: the layer itself was folded and removed; or
 * after -EBUSY: another is being folded into it, so that it means nothing alone.
 */
int chain_begin_reading(struct layer *layer);
void chain_end_reading(struct layer *layer);

/* Allocated bytes of all files: about how much there is to copy. */
uint64_t chain_bytes(const struct chain *chain);

#endif
