/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clones: disks without an image of their own, that begin at a layer of another disk, their origin.
 *
 * A clone that follows takes its origin's new head whenever a fresh scratch is made for it
 * (prepare, reset), until it commits something of its own. The part that the mount and the control
 * file see is in disk.h.
 */
#ifndef REVERTFS_DISK_CLONE_H
#define REVERTFS_DISK_CLONE_H

#include "model.h"

/*
 * Before a fresh scratch is made: where the origin has another head by now, that becomes the
 * clone's. The disk is claimed. Does nothing for a disk that does not follow, or whose origin's
 * head is not to be had just now.
 */
int clone_catch_up(struct disk *disk, struct sentence *error);

/* Whether its origin has another head by now. */
bool clone_is_behind_locked(const struct disk *disk);

/*
 * Whether a clone may have this name: free, in the images directory too, and in a directory that is
 * there. -EEXIST or another errno with a sentence.
 */
int clone_check_free_name(struct disks *disks, const char *name, struct sentence *error);

/*
 * Followers of this origin that are idle and pristine catch up, so that a fold need not wait for
 * their next start.
 */
void clone_move_followers_on(struct disk *origin);

#endif
