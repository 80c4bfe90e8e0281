/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One daemon per state directory and per images directory.
 */
#ifndef REVERTFS_DAEMON_LOCKS_H
#define REVERTFS_DAEMON_LOCKS_H

#include "model.h"

/*
 * Lock both directories: disks->state_lock and disks->images_lock, which the caller closes to give
 * them up, or -1. -EBUSY when another daemon has one of them, whatever path it knows it by, or a
 * qemu-img of a dead one still does; else what opening the lock files failed with; always with a
 * sentence. Blocks for 1.5 s, in a successor for 20 s.
 */
int locks_take(struct disks *disks, struct sentence *error);

#endif
