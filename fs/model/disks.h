/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a mount by their names, and references to them, for those who must not know what a
 * disk is made of.
 *
 * All functions may be called from any thread, and wait for no medium.
 */
#ifndef REVERTFS_MODEL_DISKS_H
#define REVERTFS_MODEL_DISKS_H

#include <stdbool.h>
#include <sys/types.h>

struct disks;   /* all of a mount: the table of disks, the layers and the jobs */
struct disk;    /* one protected name; lives until `unprotect`, and then as long as a reference */
struct layer;   /* one sealed step in a disk's history; layer.h */
struct scratch; /* one scratch file; lives as long as anyone refers to it, also after a reset */

/*
 * Names. A protected image is found by its name, and also by its inode, since protection is of the
 * file: a link that was made behind the daemon's back is no way around it. find functions take a
 * reference: disk_put().
 */
struct disk *disks_find(struct disks *disks, const char *name);
struct disk *disks_find_inode(struct disks *disks, dev_t device, ino_t inode);
bool disks_any_beneath(struct disks *disks, const char *directory);
struct disk *disk_get(struct disk *disk);
void disk_put(struct disk *disk); /* NULL is fine */
const char *disk_name(const struct disk *disk);

/*
 * Whoever changes names in the tree (create, link, rename, unlink) holds this, so that no name
 * becomes a disk meanwhile.
 */
void disks_lock_names(struct disks *disks);
void disks_unlock_names(struct disks *disks);

/*
 * Call `visit` for each component directly beneath `directory` ("" is the root) of the names of all
 * disks: "a/b.img" is visited as "a" (is_directory) in "" and as "b.img" in "a". A component may
 * come up more than once. Ends when `visit` returns false.
 */
void disks_visit_names(struct disks *disks, const char *directory,
		       bool (*visit)(void *context, const char *component, bool is_directory), void *context);

/*
 * The mount has outlived the daemon that began the disks' sessions: their domains have not noticed,
 * so they go on. Labels that no session needs are forgotten, as at a session's end.
 */
void disks_go_on(struct disks *disks);
void disks_forget_old_labels(struct disks *disks);

struct scratch *scratch_get(struct scratch *scratch);
void scratch_put(struct scratch *scratch); /* NULL is fine */

#endif
