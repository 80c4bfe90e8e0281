/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose turn it is: claims on disks, and folds that give way to them.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_MODEL_CLAIM_H
#define REVERTFS_MODEL_CLAIM_H

#include "model.h"

#define WRITER_WAIT_MS 2000 /* the kernel closes a descriptor behind its owner's back: RELEASE comes late */

/*
 * Claim a disk for a verb, after a fold over its layers has given way. -ENOENT when it was removed
 * meanwhile. Ended by disk_unclaim().
 */
int disk_claim(struct disk *disk);
void disk_unclaim(struct disk *disk);
void disk_unclaim_locked(struct disk *disk);
void disk_release_claim(struct disk *disk); /* unclaim, and give the reference up */

/* Wait a little for the last writer's close. -EBUSY with a sentence when one stays. */
int disk_wait_for_writers(struct disk *disk, struct sentence *error);
int disk_wait_for_all(struct disk *disk, struct sentence *error); /* readers too */

/*
 * Whether a fold that runs owns a file of the chain that ends in `base`; asking it to stop, which
 * takes a second at most.
 */
bool fold_owns_chain_locked(const struct layer *base);
void fold_ask_to_stop_locked(const struct layer *base);
void fold_stop_locked(struct disk *disk);

/* Whether a fold that runs owns the layer's very file and record. */
bool fold_owns_layer_locked(const struct layer *layer);

/*
 * Keep folds away from one layer's file that no claim covers: somebody reads its view, or a verb is
 * at work on it (a claim is for the chain of the disk's scratch, not for what its names keep).
 * Waits for the fold that owns it. -ESTALE when that has taken it away, so look again; -EAGAIN
 * instead of waiting. The caller has a reference; layer_unpin() puts it.
 */
int layer_pin_locked(struct layer *layer, bool nonblock);
struct layer *layer_pin_snapshot_locked(struct disk *disk,
					const char *snapshot); /* a reference, or NULL when there is no such name */
void layer_unpin(struct layer *layer);

#endif
