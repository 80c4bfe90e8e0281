/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which disk a file is the image of. A disk has its image by name, and the file is protected, not
 * the name: a hard link that was made outside the mount is no way around. So a file is the disk's
 *
 *   that the disk's name leads to      and whose identity is not another one
 *   whose identity was recorded         where something stands on its content (dependants.h): it
 *                                       was moved, and is needed
 *
 * A record alone proves nothing about another file that was given the inode number, and a file that
 * was moved away and is not needed belongs to nobody.
 */
#ifndef REVERTFS_MODEL_IMAGE_OWNER_H
#define REVERTFS_MODEL_IMAGE_OWNER_H

#include "model.h"

/*
 * The disk, a reference, or NULL; not one whose root is `but`. *ret_moved says that the file is
 * not where the disk has its name. Blocks for the file's filesystem.
 */
struct disk *disks_find_image(struct disks *disks, const struct image_stamp *stamp, const struct layer *but,
			      bool *ret_moved);

/*
 * A disk, not of the root `but`, whose record has the identity of the file, behind `previous`
 * (NULL: the first): a reference, for the one on `previous`, which is given up.
 */
struct disk *disks_step_identity(struct disks *disks, const struct image_stamp *stamp, const struct layer *but,
				 struct disk *previous);

#endif
