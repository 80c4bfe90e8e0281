/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One daemon per state directory and per images directory.
 */
#ifndef REVERTFS_DAEMON_LOCKS_H
#define REVERTFS_DAEMON_LOCKS_H

#include "model.h"

/*
 * Lock both directories, and have each qemu-img inherit the locks (options->lock_fds). -EBUSY when
 * another daemon has one of them, whatever path it knows it by, or a qemu-img of a dead one still
 * does; else what locking failed with; always with a sentence. What was locked stays so until
 * locks_release(), also after a failure. Blocks for 1.5 s for each lock, in a successor for 20 s.
 */
int locks_take(struct disks *disks, struct sentence *error);

/*
 * The one that other hosts see, for the descriptor store; -1: there is none. Where
 * disks->images_lock is what an earlier daemon has left of it, locks_take() goes on with that, if
 * it is of that file.
 */
int locks_images(const struct disks *disks);

/* Copies of the locks' descriptors, which outlive the model; locks_release() closes them. */
struct locks {
	int fds[LOCKS_MAX];
};
struct locks locks_of(const struct disks *disks);
void locks_release(struct locks *locks);

#endif
