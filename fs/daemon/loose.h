/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of background work that may wait for a filesystem or for a command, for ever perhaps.
 * Whoever waits for them, as the daemon's end does, waits for a few seconds.
 */
#ifndef REVERTFS_DAEMON_LOOSE_H
#define REVERTFS_DAEMON_LOOSE_H

#include "model.h"

struct loose;

/*
 * Have a thread do it: one of those of the disks. `ret_loose` may be NULL; what it gets is valid
 * until loose_wait_for_all(). 0 or a negative errno. From one thread only.
 */
int loose_start(struct disks *disks, void (*work)(struct loose *self, struct disks *disks), struct loose **ret_loose);

/* Whether it has ended; waits so long for that. */
bool loose_wait(struct loose *loose, unsigned seconds);

/* For the thread itself: whether it is to end. */
bool loose_is_to_end(struct loose *self);

/* For the thread itself: rest for so long. False where it is to end, which may be at once. */
bool loose_rest(struct loose *self, unsigned seconds);

void loose_ask_all_to_end(struct disks *disks);

/*
 * Wait a few seconds for the end of those that were asked to. False where one hangs: it goes on, so
 * nothing that it may use may be freed, and the process is to exit.
 */
bool loose_wait_for_all(struct disks *disks);

#endif
