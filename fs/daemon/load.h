/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What start-up finds in the state directory, and mends.
 */
#ifndef REVERTFS_DAEMON_LOAD_H
#define REVERTFS_DAEMON_LOAD_H

#include "model.h"

/*
 * Complete promised releases, load layers and disks, mend what a crash left. Fails only when
 * nothing can be served at all.
 */
int load_state(struct disks *disks, struct sentence *error);

#endif
