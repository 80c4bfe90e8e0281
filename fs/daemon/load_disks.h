/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks, as the state directory has them.
 */
#ifndef REVERTFS_DAEMON_LOAD_DISKS_H
#define REVERTFS_DAEMON_LOAD_DISKS_H

#include "model.h"

/*
 * Load all disks, over the layers that are loaded already. What cannot be read is logged, and
 * disks->incomplete set. Fails only when the directory cannot be read.
 */
int load_disks(struct disks *disks);

#endif
