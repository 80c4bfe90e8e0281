/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files of a layer and of all below it, as qemu-img is given them; and keeping a chain as it is
 * while somebody reads it.
 */
#ifndef REVERTFS_JOBS_CHAIN_H
#define REVERTFS_JOBS_CHAIN_H

#include "model.h"
#include "qemu_img.h"

struct chain {
	struct qemu_node *nodes; /* the top first */
	size_t length;
};

/* Open the files from the layer down to the root; the first `writable` of them for writing too. */
int chain_open(struct layer *layer, size_t writable, struct chain *chain, struct sentence *error);

void chain_close(struct chain *chain); /* for CLEANUP() */

/*
 * Count a reader on each layer of the chain, so that none of them is folded, and wait until a fold
 * that runs there has given way. -ESTALE when the layer was folded away itself, -EBUSY when another
 * is being folded into it, so that alone it means nothing: nothing is counted then.
 */
int chain_begin_reading(struct layer *layer);
void chain_end_reading(struct layer *layer);

/*
 * Allocated bytes of all its files; an upper bound for what a flat copy takes, together with the
 * virtual size.
 */
uint64_t chain_bytes(const struct chain *chain);

#endif
