/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a real image looks like, and whether that is what revertfs last saw.
 *
 * All functions block for the images' filesystem, and want disks->lock not held.
 */
#ifndef REVERTFS_MODEL_IMAGE_STAMP_H
#define REVERTFS_MODEL_IMAGE_STAMP_H

#include "model.h"

/* The stamp of a file; `fd` may be O_PATH. -EINVAL when it is not a regular file. */
int image_stamp_file(int fd, struct image_stamp *ret_stamp);

/*
 * Whether both are of one file, whatever it holds. Where one of them has no identity, the inode
 * number decides; it is not enough to find a file by (image_owner.h).
 */
bool image_stamps_same_file(const struct image_stamp *a, const struct image_stamp *b);

/*
 * Look at a root's image and the directories above it, for what views show. An image that cannot be
 * looked at leaves what was seen before.
 */
void image_look_at(struct layer *root);

/*
 * The filesystem of a root's image where other hosts may read it, and the administrator has not
 * said that none does; NULL: it may be written. Before the image was looked at, that of the images
 * directory. Wants disks->lock held, and does not wait.
 */
const char *image_shared_locked(const struct layer *root);

enum image_state {
	IMAGE_SAME,     /* as revertfs last saw it */
	IMAGE_CHANGED,  /* the same file, with another size or modification time */
	IMAGE_REPLACED, /* another file has its name */
};

/*
 * Whether the real image was changed outside the mount: an image_state with what it looks like now,
 * or a negative errno. With `folding` only IMAGE_REPLACED is looked for: a fold writes the image
 * itself. What views show is looked at as well.
 */
int image_compare(struct layer *root, bool folding, struct image_stamp *ret_stamp);

#endif
