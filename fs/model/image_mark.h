/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The marks of images (mark.h) as the disks of this state directory need them.
 *
 * An image has a mark from before the first layer on it is recorded until after the last one is
 * gone. A crash may leave a mark without a layer, which the next start takes away, but never a
 * layer without a mark. Where a mark finds no place, which is logged, the layers are sealed all the
 * same.
 */
#ifndef REVERTFS_MODEL_IMAGE_MARK_H
#define REVERTFS_MODEL_IMAGE_MARK_H

#include "mark.h"
#include "model.h"

/*
 * Whether layers of another state directory stand on the image of a root, which need not be in the
 * tree: -EBUSY with a sentence that ends in the command that gives them up, for the disk of that
 * name, or for an image that is none yet (NULL). -EIO with a sentence where
 * that cannot be read; 0 of an image that is not there. Syncs nothing.
 */
int image_mark_check(struct layer *root, const char *disk, struct sentence *error);

/*
 * The mark that a file which is no disk here has of another state directory, by a descriptor that
 * may be O_PATH: 1, 0 where there is none, or an error, as mark_read().
 */
int image_mark_read_plain(struct disks *disks, int fd, struct mark *ret_mark);

/*
 * A layer on the image is about to be recorded: have the image marked, durably. 0, or a negative
 * errno with a sentence (`error` may be NULL), to be put behind the disk's name: nothing may be
 * recorded. After 0 comes image_mark_done(), when the layer is in the
 * tree, or is certainly on no medium; where neither is so, it does not come.
 */
int image_mark_need(struct layer *root, struct sentence *error);
void image_mark_done(struct layer *root);

/* A layer on the image is gone: no mark where nothing needs it. */
void image_mark_drop(struct layer *root);

/* The root itself goes, whatever becomes of layers that stay behind. */
void image_mark_forget(struct layer *root);

/* Read the state directory's id, where it has one; without locks. */
void image_mark_read_id(struct disks *disks);

/*
 * The administrator gives the other state directory's layers up: its mark goes, or becomes ours. A
 * negative errno when that fails.
 */
int image_mark_take(struct layer *root);

/*
 * At start, when the mount answers already: every image gets the mark that an older build did not
 * make, or loses the one that a crash has left; that one not while disks->incomplete. Blocks for
 * the images' filesystems.
 */
void image_marks_settle(struct disks *disks);

#endif
