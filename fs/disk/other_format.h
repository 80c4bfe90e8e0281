/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image that was changed outside revertfs may be of another format now.
 */
#ifndef REVERTFS_DISK_OTHER_FORMAT_H
#define REVERTFS_DISK_OTHER_FORMAT_H

#include "model.h"

/*
 * For an image that is not what revertfs last saw: whether it still looks like the format that is
 * recorded. 0; -EBUSY with the ways out where it does not, whether or not something stands on it;
 * another errno where it cannot be read. The disk is claimed.
 */
int other_format_refuse(const struct disk *disk, struct sentence *error);

#endif
