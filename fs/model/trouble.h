/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is wrong with an image, so that nothing is folded into it, or its disks do not start.
 */
#ifndef REVERTFS_MODEL_TROUBLE_H
#define REVERTFS_MODEL_TROUBLE_H

#include "model.h"

/* Whether nothing is folded, and the sentence: why, what follows, and what to type. */
bool trouble_of_image_locked(const struct layer *root, struct sentence *ret_what);
bool trouble_of_disk(const struct disk *disk, struct sentence *ret_what);

/* ... or else what keeps the disk from starting, as it was last seen (disk->refusal). */
bool trouble_known_locked(const struct disk *disk, struct sentence *ret_what);

/* Remember it, for the status and the next start. An errno where that cannot be written. */
int trouble_note(struct layer *root, enum image_trouble trouble);

#endif
