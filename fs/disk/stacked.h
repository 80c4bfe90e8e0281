/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files in the mount that stand on a disk, as libvirt's external snapshots do: one, or several on
 * one another. Such a file is no disk itself.
 */
#ifndef REVERTFS_DISK_STACKED_H
#define REVERTFS_DISK_STACKED_H

#include "model.h"

/*
 * The disk that the file `name` stands on, by way of other such files at most: a reference, to be
 * put with disk_put(). NULL: it stands on none. `since`: a descriptor of a file that none of them
 * may be older than; -1: any. *ret_lowest (NULL: not wanted) is the name of the one that names the
 * disk itself, to be freed by the caller.
 */
struct disk *stacked_on_disk(struct disks *disks, const char *name, int since, char **ret_lowest);

#endif
