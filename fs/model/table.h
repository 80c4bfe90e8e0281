/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of disks as the modules below control.c see it: claims, states, records. disk.h has
 * what the mount sees.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_MODEL_TABLE_H
#define REVERTFS_MODEL_TABLE_H

#include "model.h"

/*
 * A disk in memory, claimed by the caller, not yet in the table; its directory is made. NULL with a
 * sentence and an errno in *ret_error.
 */
struct disk *disk_new(struct disks *disks, const char *name, int *ret_error, struct sentence *error);
int disk_insert(struct disk *disk);  /* -EEXIST when the name is taken, or lies beneath or above a disk's */
void disk_remove(struct disk *disk); /* out of the table; whoever waits for it is told that it is gone */

/*
 * Find and claim; ended by disk_release_claim(). -ENOENT, or -EIO when the disk's record could not
 * be read.
 */
int disk_claim_name(struct disks *disks, const char *name, struct disk **ret_disk, struct sentence *error);

/* What a protect or a clone made in the state directory, taken back. */
void disk_remove_files(struct disk *disk);

/* Whether it can be the name of a disk that is to be. -EINVAL or -ENAMETOOLONG with a sentence. */
int disk_check_new_name(const char *name, struct sentence *error);

/* Neither a session nor a descriptor that can write; no hold. -EBUSY with a sentence. */
int disk_check_idle(struct disk *disk, struct sentence *error);
int disk_check_not_held(const struct disk *disk, struct sentence *error);

/*
 * The only place where the state changes; checks the edge against a table and the invariants of the
 * new state.
 */
void disk_set_state_locked(struct disk *disk, enum disk_state state);
void disk_fail(struct disk *disk, const struct sentence *why);

/* A failed disk serves nothing: whoever looks it up gets EIO. */
void disk_drop_scratch(struct disk *disk);

/* Write disk.json; the record in memory is changed when that has succeeded. */
int disk_save(struct disk *disk, const struct disk_record *record);

/* Point head or hold somewhere else (in memory). */
void disk_set_head(struct disk *disk, struct layer *head);
void disk_set_hold(struct disk *disk, struct layer *hold); /* NULL: none */

/* Remember what went wrong for the status; "" clears it. */
void disk_set_last_error(struct disk *disk, const struct sentence *error);

/* Whether a snapshot may have this name: -EINVAL or -EEXIST with a sentence. */
int disk_check_new_snapshot(struct disk *disk, const char *snapshot, struct sentence *error);

/* A name of the form PREFIX-20261120T175749Z that no layer of the disk has yet. */
void disk_unused_snapshot_name(struct disk *disk, const char *prefix, char name[SNAPSHOT_NAME_MAX + 1]);

char *disk_directory_name(const char *name); /* escaped into one component; NULL when out of memory */
int disk_name_of_directory(const char *directory, char **ret_name); /* the way back; -EINVAL */

/* A disk that was made from this one, or NULL. Borrowed. */
const struct disk *disk_find_clone_locked(const struct disk *origin);

#endif
