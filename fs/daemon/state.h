/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All of a mount's disks, from the start of a daemon to its end.
 */
#ifndef REVERTFS_DAEMON_STATE_H
#define REVERTFS_DAEMON_STATE_H

#include "disks.h"
#include "handover.h"
#include "options.h"
#include "util.h"

/*
 * Open and load the state directory, mend what a crash left, and make scratches ready; the mount
 * may appear after this. `images_fd` is the images directory, `handover` what an earlier daemon may
 * have left; all are borrowed until disks_free(), and options->lock_fds are set. `images_lock` is
 * what an earlier daemon has left of its lock (locks.h), or -1; it is consumed. -EBUSY when another
 * daemon uses the state or images directory, or a qemu-img of a dead one still does. Blocks for the
 * locks (20 s at most for each) and for qemu-img.
 */
int disks_new(struct options *options, int images_fd, int images_lock, struct handover *handover,
	      struct disks **ret_disks, struct sentence *error);

/*
 * Start the background work. To be called when the files that are open in an adopted mount are
 * counted again: a fold must see who uses its layers.
 */
int disks_start(struct disks *disks, struct sentence *error);

/*
 * Stop the background work; disks_free() does it too, and frees everything. A running qemu-img is
 * stopped; the next start takes its fold up again. NULL is fine. False where a thread hangs in a
 * filesystem that does not answer: nothing may be freed, and the process is to exit.
 */
bool disks_stop(struct disks *disks);
void disks_free(struct disks *disks);

#endif
