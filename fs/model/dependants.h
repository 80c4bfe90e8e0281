/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands on the content of a real image, so that another content may not take its place:
 *
 *   layers           of its disk or of a clone: commits, points, sealed leftovers, holds
 *   names            snapshots of the image itself
 *   a hold           of a guest that was saved on the image itself
 *   a seal           that is just putting a layer on it
 *   a scratch        with data that is to be kept
 *   a scratch        that is in use, where its guest would notice
 *
 * A scratch without data, or that is to be discarded, depends on nothing. A guest that runs on one
 * has the image's old file open and goes on reading that where another file has its name now; where
 * the file itself was changed, it reads a mixture, and should be stopped.
 */
#ifndef REVERTFS_MODEL_DEPENDANTS_H
#define REVERTFS_MODEL_DEPENDANTS_H

#include "model.h"

/* The first that was found, in words for the administrator. */
struct dependant {
	struct sentence what; /* "layers of the disk 'a' stand", to be followed by "on it" */
	struct sentence way;  /* what gives it up, and no more: "'reset a'" */
};

/* What `reset` wants besides, for the scratch to be given up: " force=yes" where it keeps data. */
const char *dependant_reset_force(const struct disk *disk);

/*
 * Whether anything stands on the root's image, besides the scratch of `except` (NULL: there is no
 * exception), of which the caller knows more. `replaced`: another file has its name now.
 * ret_dependant may be NULL.
 */
bool image_has_dependants_locked(const struct layer *root, const struct disk *except, bool replaced,
				 struct dependant *ret_dependant);

#endif
