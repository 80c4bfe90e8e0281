/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands on the content of a real image, so that another content may not take its place:
 *
 *   layers           of its disk or of a clone: commits, points, sealed leftovers, holds
 *   names            snapshots of the image itself
 *   a hold           of a guest that was saved on the image itself
 *   a scratch        with data that is to be kept, or that is in use; a scratch that is to be discarded
 *                    at its next start, and one without data, depend on nothing
 */
#ifndef REVERTFS_MODEL_DEPENDANTS_H
#define REVERTFS_MODEL_DEPENDANTS_H

#include "model.h"

/*
 * Whether anything stands on the root's image, besides the scratch of `except` (NULL: there is no
 * exception), of which the caller knows more. *ret_what (may be NULL) says what: "layers of the disk
 * 'a'".
 */
bool image_has_dependants_locked(const struct layer *root, const struct disk *except, struct sentence *ret_what);

#endif
