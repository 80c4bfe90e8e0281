/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of layers, as the state directory has it.
 */
#ifndef REVERTFS_DAEMON_LOAD_LAYERS_H
#define REVERTFS_DAEMON_LOAD_LAYERS_H

#include "model.h"

/*
 * Read the records, build the tree, and mend headers that name another parent. A layer that cannot
 * be used is logged, and disks->incomplete set. Fails only when the directory cannot be read.
 */
int load_layers(struct disks *disks);

#endif
