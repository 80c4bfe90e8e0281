/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a disk's files are in the mounts, when its XML names them through symbolic links.
 */
#ifndef REVERTFS_POLICY_FOLLOW_H
#define REVERTFS_POLICY_FOLLOW_H

#include "domain.h"
#include "mounts.h"

/* Replace the disk's path, and those of its chain, as mounts_follow() does. */
void follow_links(struct domain_disk *disk, const struct mounts *mounts);

#endif
