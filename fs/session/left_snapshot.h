/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain that starts on an external snapshot which was left behind, on one of its disks.
 */
#ifndef REVERTFS_SESSION_LEFT_SNAPSHOT_H
#define REVERTFS_SESSION_LEFT_SNAPSHOT_H

#include "participant.h"

/*
 * Whether the disk, which is claimed, is still what the snapshot was taken of, in a session of this
 * domain's. -EINVAL with a sentence when it is not.
 */
int left_snapshot_check(const struct participant *participant, const char *uuid, struct sentence *error);

/*
 * The disk's record in a session that goes on with the snapshot: whatever ends that, the snapshot
 * still stands on the scratch. And the sentence about it.
 */
void left_snapshot_keep(const struct participant *participant, const char *uuid, struct disk_record *record);
void left_snapshot_say_goes_on(const struct participant *participant, const char *domain, struct sentence *ret_warning);

/* Remember that the scratch became the backing file of this one. A path that is too long is not. */
void left_snapshot_note(const char *file, struct disk_record *record);

/*
 * What is to be noted with the layer as which the scratch is sealed aside: what stands on it. Then
 * left_snapshot_warn() makes the sentence: the file reads other bytes from now on, and how it reads
 * the old ones. Both give "" where nothing stands on it.
 */
void left_snapshot_note_layer(const struct disk_record *record, char ret_note[NOTE_SIZE]);
void left_snapshot_warn(const struct disk *disk, const char *file, const struct layer *layer,
			struct sentence *ret_warning);

#endif
