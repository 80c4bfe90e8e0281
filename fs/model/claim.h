/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims on disks, pins on layers, and how a running fold is made to yield to both.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it. What is said here
 * to wait, waits for other verbs or for a fold to yield, which takes a second at most.
 */
#ifndef REVERTFS_MODEL_CLAIM_H
#define REVERTFS_MODEL_CLAIM_H

#include "model.h"

#define WRITER_WAIT_MS 2000 /* the kernel sends RELEASE after close(2) has returned: it comes late */

/*
 * Claim a disk for a verb. Waits for the verb that has it, and for a fold of its layers to yield.
 * -ENOENT when the disk was removed meanwhile. The disk_unclaim functions end it.
 */
int disk_claim(struct disk *disk);
void disk_unclaim(struct disk *disk);

/*
 * Claim it where that disturbs nobody: -EAGAIN while a verb has it, or a fold runs over its layers.
 */
int disk_claim_idle(struct disk *disk);
void disk_unclaim_locked(struct disk *disk);
void disk_release_claim(struct disk *disk); /* disk_unclaim() and disk_put() */

/*
 * Wait up to WRITER_WAIT_MS for the last writer's close. -EBUSY with a sentence when one stays. The
 * other waits for readers too; when those that are left are onlookers, it cuts them, so that none
 * has the scratch open any more. The disk is claimed, so that nobody opens it meanwhile.
 */
int disk_wait_for_writers(struct disk *disk, struct sentence *error);
int disk_wait_for_all(struct disk *disk, struct sentence *error);

/*
 * Whether a running fold owns a file of the chain that ends in `base`; asking such folds to stop,
 * without waiting.
 */
bool fold_owns_chain_locked(const struct layer *base);
void fold_ask_to_stop_locked(const struct layer *base);
void fold_stop_locked(struct disk *disk); /* the disk's own fold, which is running */

/*
 * Ask the disk's running fold, or those that own a file of the chain, to stop for an onlooker.
 * False when one has waited for onlookers long enough (onlookers.h).
 */
bool fold_yields_to_onlooker_locked(struct disk *disk);
bool folds_yield_to_onlooker_locked(const struct layer *base);

/* Whether a running fold owns this very layer's file and record. */
bool fold_owns_layer_locked(const struct layer *layer);

/*
 * Pin a layer: no fold touches its file until layer_unpin(). For a file that no claim covers: a
 * view of it is read, or a verb changes it (a claim covers the chain of the disk's scratch, not the
 * layers that its snapshots keep).
 *
 * Waits for a fold that owns the layer. -ESTALE when that fold has removed the layer: look again.
 * The caller has a reference, which layer_unpin() puts.
 */
int layer_pin(struct layer *layer);
int layer_pin_locked(struct layer *layer);
void layer_unpin(struct layer *layer);

/*
 * Count an onlooker's descriptor, which keeps folds away for a while; onlookers_leave_locked() ends
 * that. Waits for a fold that owns the layer. -ESTALE when that fold does not yield, or has removed
 * the layer.
 */
int layer_look_on(struct layer *layer, struct onlooker *ret_onlooker);

/* The snapshot's layer, pinned, with a reference; NULL when the disk has no such snapshot. */
struct layer *layer_pin_snapshot(struct disk *disk, const char *snapshot);
struct layer *layer_pin_snapshot_locked(struct disk *disk, const char *snapshot);

#endif
