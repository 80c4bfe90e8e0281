/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that `-o protect=` promises to be disks, and that are none yet: the daemon protects them in
 * the background (daemon/autoprotect.c) while the mount answers. Whoever opens such a name, or asks
 * a verb for it, has it protected at that moment, in front of all others. So nobody gets at an
 * image that was to be a disk, however long the others take.
 *
 * All functions may be called from any thread. Without due_new() no name is due.
 */
#ifndef REVERTFS_DISK_DUE_H
#define REVERTFS_DISK_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disks.h"
#include "util.h"

#define DUE_NAMES_TOLD 5

/*
 * From now on every file whose name matches is due, until due_all_found(); then those that
 * due_found() was told of are, until they have been protected, or refused. Of the images of one
 * user, who is not root, no more are due than make 1024 disks of his, fewer where the daemon may
 * have few descriptors: that is logged once.
 */
int due_new(struct disks *disks);
void due_free(struct disks *disks);

/*
 * A regular file was seen under this name: by whoever looks for those that match, or because it was
 * looked up. Waits for nothing.
 */
void due_found(struct disks *disks, const char *name, const struct stat *stat);
void due_all_found(struct disks *disks);

/* Whether due_found() has a use for this name. Waits for nothing. */
bool due_is_name(struct disks *disks, const char *name);

/* Protect one of those found. False when none is left. Blocks as disk_protect() does. */
bool due_settle_next(struct disks *disks);

/* How many are left of those found; the first DUE_NAMES_TOLD, for a sentence. */
size_t due_left(struct disks *disks, struct sentence *ret_names);

/*
 * Protect a name now if it is due, or a file that was seen under such a name. Blocks as
 * disk_protect() does, at most for the time that its qemu-img may take: -EBUSY when another thread
 * has not got done with it by then. 0 also where it was refused, as what is no image: that is
 * logged, and served as it is.
 */
int due_settle(struct disks *disks, const char *name);
int due_settle_file(struct disks *disks, dev_t device, ino_t inode);
bool due_is_file(struct disks *disks, dev_t device, ino_t inode);

#endif
