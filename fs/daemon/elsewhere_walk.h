/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * At start: looking for images that have commits in another state directory (model/elsewhere.h).
 */
#ifndef REVERTFS_DAEMON_ELSEWHERE_WALK_H
#define REVERTFS_DAEMON_ELSEWHERE_WALK_H

#include <stdbool.h>

#include "disks.h"

struct elsewhere_walk;

/*
 * Begin in the background; one line in the log where some are found. NULL where it cannot begin,
 * which is logged.
 */
struct elsewhere_walk *elsewhere_walk_start(struct disks *disks, int images_fd);

/*
 * End it; NULL is fine. False where a filesystem does not answer: the thread goes on, so that
 * nothing that was handed to it may be freed, and the process is to exit.
 */
bool elsewhere_walk_stop(struct elsewhere_walk *walk);

#endif
