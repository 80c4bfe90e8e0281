/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blanks that the QEMU of this host had better not be given scratches of.
 */
#ifndef REVERTFS_DAEMON_LOAD_BLANKS_H
#define REVERTFS_DAEMON_LOAD_BLANKS_H

#include "model.h"

/*
 * Make blanks with subclusters anew, where options->renew_blanks, with the scratches that are
 * copies of them. Starts a process for each, once in the life of a state directory.
 */
void load_blanks(struct disks *disks);

#endif
