/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things lie: canonical paths, what is mounted there already, and which places may not lie in
 * one another.
 */
#ifndef REVERTFS_CONFIG_PATHS_H
#define REVERTFS_CONFIG_PATHS_H

#include "options.h"

/*
 * Make the options' paths absolute and free of symlinks, having detached what a killed daemon left
 * mounted on the mountpoint; refuse what cannot work. To be called once, before anything is opened.
 */
int paths_settle(struct options *options, struct sentence *error);

/*
 * The same for a mount that is there already, of an earlier daemon: nothing on it, or beneath it,
 * is looked at.
 */
int paths_settle_others(struct options *options, struct sentence *error);

/*
 * Unmount the revertfs on the mountpoint, whether or not it answers; nothing happens where there is
 * none.
 */
void paths_detach(const char *mountpoint);

#endif
