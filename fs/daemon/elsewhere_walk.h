/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * At start: looking for images that have commits in another state directory (model/elsewhere.h).
 */
#ifndef REVERTFS_DAEMON_ELSEWHERE_WALK_H
#define REVERTFS_DAEMON_ELSEWHERE_WALK_H

#include "disks.h"

/*
 * Begin in the background, in a thread of the disks' (loose.h); one line in the log where some are
 * found. Where it cannot begin, that is logged.
 */
void elsewhere_walk_start(struct disks *disks);

#endif
