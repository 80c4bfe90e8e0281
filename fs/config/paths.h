/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The paths among the options: made canonical, freed of dead mounts, and refused where one may not
 * lie in another.
 */
#ifndef REVERTFS_CONFIG_PATHS_H
#define REVERTFS_CONFIG_PATHS_H

#include "options.h"

/*
 * Detach what a killed daemon left mounted on the mountpoint, make the options' paths absolute and
 * free of symlinks, and refuse what cannot work: a negative errno with a sentence. Call it once,
 * before anything is opened. May block where a named path lies in a mount that does not answer.
 */
int paths_settle(struct options *options, struct sentence *error);

/*
 * The same where the mount of an earlier daemon is taken over: images and mountpoint are known and
 * are not looked at, the other paths are settled.
 */
int paths_settle_others(struct options *options, struct sentence *error);

/*
 * Unmount the revertfs on the mountpoint, whether or not it answers. Without one, nothing happens.
 */
void paths_detach(const char *mountpoint);

#endif
