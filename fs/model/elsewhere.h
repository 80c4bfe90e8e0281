/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images beneath the images directory that are no disks here, and that the mark (image_mark.h) says
 * to have commits in another state directory: what was found of them at the start, for the status.
 * Where this state directory was lost, or is the wrong one, they are all that tells.
 */
#ifndef REVERTFS_MODEL_ELSEWHERE_H
#define REVERTFS_MODEL_ELSEWHERE_H

#include "model.h"

/* Look at a regular file, by a descriptor that may be O_PATH. Blocks for its filesystem. */
void elsewhere_look(struct disks *disks, const char *name, int fd);

/* This one's commits were given up. */
void elsewhere_forget(struct disks *disks, const char *name);

/* Whether there are any, and the sentence: how many, one of them, and the ways out. */
bool elsewhere_said_locked(const struct disks *disks, struct sentence *ret_what);

void elsewhere_free(struct disks *disks);

#endif
