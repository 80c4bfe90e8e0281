/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was kept aside of a disk last.
 */
#ifndef REVERTFS_MODEL_NEWEST_ASIDE_H
#define REVERTFS_MODEL_NEWEST_ASIDE_H

#include "model.h"

/*
 * The snapshot of the disk that was made last, of those whose names begin with one of the prefixes
 * (aside.h; the list ends with NULL), and its layer; NULL when there is none. Borrowed. Wants
 * disks->lock held.
 */
const char *newest_aside_locked(const struct disk *disk, const char *const *prefixes, const struct layer **ret_layer);

#endif
