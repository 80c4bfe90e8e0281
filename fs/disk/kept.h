/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a scratch has that is to be kept, while no session runs, in words: it waits for the disk's
 * next start.
 */
#ifndef REVERTFS_DISK_KEPT_H
#define REVERTFS_DISK_KEPT_H

#include "model.h"

/* What the next start does with what the record says is kept; which commands may come first. */
void kept_say_next(const char *disk, const struct disk_record *record, struct sentence *ret_what);

/*
 * Whether something waits, and the sentence: how much, what the next start does, what to type. Not
 * where the disk is in a session, open for writing, or held for a saved guest.
 */
bool kept_waits_locked(const struct disk *disk, struct sentence *ret_what);

#endif
