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
 * Load the state directory, mend what a crash left, and make scratches ready; the mount may appear
 * after this. `images_fd` is the images directory, `handover` what an earlier daemon may have left;
 * all are borrowed, and options->lock_fd is set. -EBUSY when another daemon has the state or the
 * images, also when that is dead and a qemu-img of its is not yet.
 */
int disks_new(struct options *options, int images_fd, struct handover *handover, struct disks **ret_disks,
	      struct sentence *error);

/* Start the background work. Separate from disks_new() because a daemon forks in between. */
int disks_start(struct disks *disks, struct sentence *error);

/*
 * End the background work in order: a running qemu-img is stopped, to be taken up again at the next
 * start. NULL is fine.
 */
void disks_free(struct disks *disks);

#endif
