/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real image below a disk that is protected: whether it was changed outside the mount.
 */
#ifndef REVERTFS_DISK_IMAGE_H
#define REVERTFS_DISK_IMAGE_H

#include "model.h"

/*
 * Whether the image is what revertfs last saw. A change that nothing depends on is taken as the new
 * content, and logged. 0; -EBUSY with the ways out when layers, a hold or
 * (`scratch_depends`) the scratch stand on what the image was; another errno when it cannot be
 * reached. The disk is claimed.
 */
int image_check(struct disk *disk, bool scratch_depends, struct sentence *error);

/* Remember what the image looks like after revertfs has written it. */
int image_accept(struct layer *root);

#endif
