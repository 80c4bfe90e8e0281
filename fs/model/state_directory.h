/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model in memory, with no disk yet, and the state directory that its records lie in.
 *
 * Loading what lies there, locking it against a second daemon and the threads of background work
 * are the daemon's business.
 */
#ifndef REVERTFS_MODEL_STATE_DIRECTORY_H
#define REVERTFS_MODEL_STATE_DIRECTORY_H

#include "model.h"

/*
 * An empty model over the state directory, which is made when it is missing. `options`, `images_fd`
 * (the images directory) and `handover` are borrowed. A negative errno with a sentence on failure.
 */
int model_new(struct options *options, int images_fd, struct handover *handover, struct disks **ret_disks,
	      struct sentence *error);

/*
 * Open the directories within the state directory and that of the scratches; made when missing.
 * Separate from model_new(), because nothing is made in a state directory that another daemon has.
 */
int model_open_directories(struct disks *disks, struct sentence *error);

/*
 * Whether the state directory is still this daemon's, to be asked before something in it is changed
 * (durable/guard.h). 0; -ESTALE when another host may have it, for good; or why that cannot be told
 * now. `error` may be NULL. Where it lies on this host's own filesystem nothing is asked.
 */
int state_check(struct disks *disks, struct sentence *error);

/* Free disks, layers and what is left to close. No other thread may use them any more. */
void model_free(struct disks *disks);

#endif
