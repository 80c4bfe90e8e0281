/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a crash left in the state directory that nothing needs.
 */
#ifndef REVERTFS_DAEMON_LEFTOVERS_H
#define REVERTFS_DAEMON_LEFTOVERS_H

#include "model.h"

/*
 * Whether something stands on the layer: a child, a head or hold, or a disk that knows the layer
 * by a name.
 */
bool layer_is_reached(const struct layer *layer);

/*
 * Remove names of disks that are gone, layers that nothing reaches, and files without a record;
 * what may hold data moves to lost/. To be called when all disks are loaded, unless
 * disks->incomplete.
 */
void leftovers_remove(struct disks *disks);

#endif
