/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What protecting an image and making a clone have in common: a disk that was not there before.
 */
#ifndef REVERTFS_DISK_NEW_DISK_H
#define REVERTFS_DISK_NEW_DISK_H

#include "model.h"

/*
 * Take the name: a disk in the table, claimed, that nobody can open yet. `origin` is NULL for an
 * image's disk. On failure (-EEXIST when the name is taken) nothing is left; afterwards
 * new_disk_undo() takes back what was done.
 */
int new_disk_insert(const char *name, struct layer *root, struct layer *head, const char *origin,
		    struct disk **ret_disk, struct sentence *error);

/* Write disk.json, durably: the commit point. Head and origin are filled in. */
int new_disk_record(struct disk *disk, bool follow, struct sentence *error);

/* Out of the table, its files removed; ends the claim and gives the reference up. */
void new_disk_undo(struct disk *disk);

/*
 * Claim what becomes a disk, or stops being one (name_claim.h). A negative errno with a sentence
 * when somebody is in the way for too long.
 */
int new_disk_claim_name(struct disks *disks, const char *name, struct name_claim *claim, struct sentence *error);

#endif
