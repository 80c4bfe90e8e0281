/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is wrong with an image, so that nothing is folded into it.
 */
#ifndef REVERTFS_MODEL_TROUBLE_H
#define REVERTFS_MODEL_TROUBLE_H

#include "model.h"

/* Whether there is something, and the sentence: what it is, what follows, and what to type. */
bool trouble_of_image_locked(const struct layer *root, struct sentence *ret_what);
bool trouble_of_disk(const struct disk *disk, struct sentence *ret_what);

/* Remember it, for the status and the next start. An errno where that cannot be written. */
int trouble_note(struct layer *root, enum image_trouble trouble);

#endif
