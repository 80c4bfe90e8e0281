/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of disks for those who change disks: claims by name, states, records, names. disks.h is
 * what the mount sees.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_MODEL_TABLE_H
#define REVERTFS_MODEL_TABLE_H

#include "model.h"

#define DISK_RECORD "disk.json" /* in the disk's directory */

/*
 * A disk in memory, claimed by the caller and not yet in the table; its directory in the state
 * directory is made. NULL with a sentence and a negative errno in *ret_error.
 */
struct disk *disk_new(struct disks *disks, const char *name, int *ret_error, struct sentence *error);
int disk_insert(struct disk *disk); /* -EEXIST when the name is taken, or lies beneath or above a disk's */

/*
 * Out of the table; claims that wait for the disk get -ENOENT. Whoever looks for folds looks
 * through the table: where one of the disk may be queued or running, job_remove_disk() stops it
 * first.
 */
void disk_remove(struct disk *disk);
void disk_remove_locked(struct disk *disk);

/*
 * Find a disk and claim it, which may wait (claim.h); disk_release_claim() ends that. -ENOENT, or
 * -EIO when the disk's record could not be read.
 */
int disk_claim_name(struct disks *disks, const char *name, struct disk **ret_disk, struct sentence *error);

/*
 * -ENOENT, with a sentence: the name is no disk's, but an image's that is to be protected, or
 * nobody's. Looks for the image, which may block as its filesystem does.
 */
int disk_report_missing(struct disks *disks, const char *name, struct sentence *error);

/* Remove what a protect or a clone made in the state directory; not synced. */
void disk_remove_files(struct disk *disk);

/* Whether a disk may be given this name. -EINVAL or -ENAMETOOLONG with a sentence. */
int disk_check_new_name(const char *name, struct sentence *error);

/*
 * -EBUSY with a sentence when the disk is in a session or open for writing (waits a little for the
 * last close, claim.h), or when it is held.
 */
int disk_check_idle(struct disk *disk, struct sentence *error);
int disk_check_not_held(const struct disk *disk, struct sentence *error);

/*
 * Change the state of a disk in the table, which nothing else does: asserts that the edge is
 * allowed and that the new state's invariants hold. The caller prints the debug line after it has
 * released the lock.
 */
void disk_set_state_locked(struct disk *disk, enum disk_state state);
void disk_fail(struct disk *disk, const struct sentence *why); /* DISK_FAILED, logged */

/*
 * And why (NULL: no matter). A claim does not make the state stand still: whoever looks at the
 * scratch may find it written.
 */
bool disk_has_failed(struct disk *disk, struct sentence *ret_why);

/* Have a failed disk serve nothing: a lookup gets EIO. */
void disk_drop_scratch(struct disk *disk);

/* Write disk.json, then change the record in memory. Blocks for the medium. */
int disk_save(struct disk *disk, const struct disk_record *record);

/* Point head or hold to another layer, in memory; takes a reference. */
void disk_set_head(struct disk *disk, struct layer *head);
void disk_set_hold(struct disk *disk, struct layer *hold); /* NULL: none */
struct layer *disk_take_hold(struct disk *disk); /* no hold; what it was: a reference for the caller, or NULL */

/* Set what the status shows as last_error; "" clears it. */
void disk_set_last_error(struct disk *disk, const struct sentence *error);

/* Whether a snapshot may have this name: -EINVAL or -EEXIST with a sentence. */
int disk_check_new_snapshot(struct disk *disk, const char *snapshot, struct sentence *error);

/* Make a name of the form PREFIX-20261120T175749Z that no snapshot of the disk has. */
void disk_unused_snapshot_name(struct disk *disk, const char *prefix, char name[SNAPSHOT_NAME_MAX + 1]);

char *disk_directory_name(const char *name); /* escaped into one component; NULL when out of memory */
int disk_name_of_directory(const char *directory, char **ret_name); /* the way back; -EINVAL */

/* A disk that was made from this one, or NULL. Borrowed. */
const struct disk *disk_find_clone_locked(const struct disk *origin);

#endif
