/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of disks as the modules below control.c see it: claims, states, records. disk.h has what the mount sees.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_TABLE_H
#define REVERTFS_TABLE_H

#include "model.h"

#define WRITER_WAIT_MS 2000 /* the kernel closes a descriptor behind its owner's back: RELEASE comes late */

/* A disk in memory, claimed by the caller, not yet in the table; its directory is made. NULL with a sentence and an errno in *ret_error. */
struct disk *disk_new(struct disks *disks, const char *name, int *ret_error, struct sentence *error);
int disk_insert(struct disk *disk);  /* -EEXIST when the name is taken, or lies beneath or above a disk's */
void disk_remove(struct disk *disk); /* out of the table; whoever waits for it is told that it is gone */
void disk_put_locked(struct disk *disk);

/*
 * Claim a disk for a verb, after a fold over its layers has given way. -ENOENT when it was removed meanwhile. Ended by disk_unclaim(), which
 * also drops the reference that disk_claim_name() took.
 */
int disk_claim(struct disk *disk);
void disk_unclaim(struct disk *disk);
void disk_unclaim_locked(struct disk *disk);
int disk_claim_name(struct disks *disks, const char *name, struct disk **ret_disk, struct sentence *error);
void disk_release_claim(struct disk *disk); /* unclaim and put */

/* Wait a little for the last writer's close. -EBUSY with a sentence when one stays. */
int disk_wait_for_writers(struct disk *disk, struct sentence *error);

/* What a protect or a clone made in the state directory, taken back. */
void disk_remove_files(struct disk *disk);

/* Whether it can be the name of a disk that is to be. -EINVAL or -ENAMETOOLONG with a sentence. */
int disk_check_new_name(const char *name, struct sentence *error);

/* Neither a session nor a descriptor that can write; no hold. -EBUSY with a sentence. */
int disk_check_idle(struct disk *disk, struct sentence *error);
int disk_check_not_held(const struct disk *disk, struct sentence *error);

/* The only place where the state changes; checks the edge against a table and the invariants of the new state. */
void disk_become_locked(struct disk *disk, enum disk_state state);
void disk_fail(struct disk *disk, const struct sentence *why);

/* Write disk.json; the record in memory is changed when that has succeeded. */
int disk_save(struct disk *disk, const struct disk_record *record);

/* What scratches of the disk stand on: the hold, else the head. */
struct layer *disk_base(const struct disk *disk);

/* Point head or hold somewhere else (in memory). */
void disk_set_head(struct disk *disk, struct layer *head);
void disk_set_hold(struct disk *disk, struct layer *hold); /* NULL: none */

/* Remember what went wrong for the status; "" clears it. */
void disk_note(struct disk *disk, const struct sentence *error);

/* The layer that the disk knows by this name, or NULL. Borrowed. */
struct layer *disk_find_point_locked(const struct disk *disk, const char *name);

/* A name of the form PREFIX-20261120T175749Z that no layer of the disk has yet. */
void disk_free_point_name(struct disk *disk, const char *prefix, char name[POINT_MAX + 1]);

char *disk_directory_name(const char *name); /* escaped into one component; NULL when out of memory */
int disk_name_of_directory(const char *directory, char **ret_name); /* the way back; -EINVAL */

#endif
