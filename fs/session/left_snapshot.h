/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that starts on an external snapshot which was left behind, on one of its disks.
 */
#ifndef REVERTFS_SESSION_LEFT_SNAPSHOT_H
#define REVERTFS_SESSION_LEFT_SNAPSHOT_H

#include "participant.h"

/*
 * The disk of this mount that the file `name`, which is none, stands on, if it does: a reference,
 * to be put with disk_put(). NULL: it stands on none.
 */
struct disk *left_snapshot_below(struct disks *disks, const char *name);

/*
 * Whether the disk, which is claimed, is still what the snapshot was taken of, in a session of this
 * domain's. -EINVAL with a sentence when it is not.
 */
int left_snapshot_check(const struct participant *participant, const char *uuid, struct sentence *error);

#endif
