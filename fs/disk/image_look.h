/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands against a disk's next start, found before somebody wants to start it.
 *
 * The status asks no image, whose filesystem may hang. So who wants to know has the images looked
 * at first, and the status then says what was seen (trouble.h).
 */
#ifndef REVERTFS_DISK_IMAGE_LOOK_H
#define REVERTFS_DISK_IMAGE_LOOK_H

#include "model.h"

/*
 * Look at the disk's image as its next start will. Nothing is taken, and nobody is waited for, or
 * has to wait: a disk that is in use, or has a command or a fold, is passed over, and an image that
 * somebody is just looking at.
 */
void image_look(struct disk *disk);
void images_look(struct disks *disks); /* of all disks */

#endif
