/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things lie: canonical paths, what is mounted there already, and which places may not lie in one another.
 */
#ifndef REVERTFS_CONFIG_PATHS_H
#define REVERTFS_CONFIG_PATHS_H

#include <stdbool.h>
#include <sys/types.h>

#include "options.h"

/*
 * Make the options' paths absolute and free of symlinks, having detached what a killed daemon left mounted on the
 * mountpoint; refuse what cannot work. To be called once, before anything is opened.
 */
int place_settle(struct options *options, struct sentence *error);

/* The same for a mount that is there already, of an earlier daemon: nothing on it, or beneath it, is looked at. */
int place_settle_others(struct options *options, struct sentence *error);

/* Unmount the revertfs on the mountpoint, whether or not it answers; nothing happens where there is none. */
void place_detach(const char *mountpoint);

/*
 * The number (st_dev) of the mount that is on top at exactly this path. 0, -ENOENT when nothing is mounted there, or
 * another error. *ret_ours says whether it is a revertfs.
 */
int place_mounted(const char *path, dev_t *ret_device, bool *ret_ours);

#endif
