/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of background work that may wait for a filesystem or for a command, for ever perhaps.
 * Nobody waits for them, and the daemon's end only for a while.
 */
#ifndef REVERTFS_DAEMON_LOOSE_H
#define REVERTFS_DAEMON_LOOSE_H

#include "model.h"

struct loose;

/* Have a thread do it: one of those of the disks. 0 or a negative errno. From one thread only. */
int loose_start(struct disks *disks, void (*work)(struct loose *self, struct disks *disks));

/* For the thread itself: rest for so long. False where it is to end, which may be at once. */
bool loose_rest(struct loose *self, unsigned seconds);

/*
 * Ask all to end, and wait for that a few seconds. False where one hangs: it goes on, so nothing
 * that it may use may be freed, and the process is to exit.
 */
bool loose_end_all(struct disks *disks);

#endif
