/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clones: disks without an image of their own, which begin at a layer of another disk, their
 * origin.
 *
 * A clone that follows takes its origin's new head whenever it gets a fresh scratch (prepare,
 * reset), until it commits something of its own. The verbs, disk_clone() and disk_unlink(), are in
 * disk.h.
 */
#ifndef REVERTFS_DISK_CLONE_H
#define REVERTFS_DISK_CLONE_H

#include "model.h"

/*
 * To be called before a fresh scratch is made, with the disk claimed: if the disk follows and its
 * origin has another head, that becomes the disk's head, in disk.json too. May wait a second for a
 * fold to yield.
 */
int clone_catch_up(struct disk *disk, struct sentence *error);

/* Whether the disk follows an origin that has another head now. */
bool clone_is_behind_locked(const struct disk *disk);

/*
 * Whether a clone may have this name: no file of the images directory and no transfer has it, and
 * its directory exists. -EEXIST or another errno with a sentence. Disks are not looked at:
 * new_disk_insert() does that.
 */
int clone_check_free_name(struct disks *disks, const char *name, struct sentence *error);

/*
 * A clone begins at its origin's head: whether the origin has more than that, which is then said
 * with what to do about it. `follow`: the clone takes what is committed later.
 */
bool clone_say_missing(const struct disk *origin, const char *clone, bool follow, struct sentence *ret_what);

/*
 * Have the clones of this origin that follow, are idle and are pristine take its new head now, so
 * that a fold need not wait for their next start.
 */
void clone_move_followers_on(struct disk *origin);

#endif
