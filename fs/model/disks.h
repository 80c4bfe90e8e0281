/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disks of a mount by their names, and references to them, for callers that must not know what
 * a disk is made of.
 *
 * All functions may be called from any thread, and none waits long, but where it says so.
 */
#ifndef REVERTFS_MODEL_DISKS_H
#define REVERTFS_MODEL_DISKS_H

#include <stdbool.h>
#include <sys/types.h>

struct name_claims;
struct disks;   /* all of a mount: the table of disks, the layers and the jobs */
struct disk;    /* one protected name; lives until `unprotect`, and then as long as a reference */
struct layer;   /* one sealed step in a disk's history; layer.h */
struct scratch; /* one scratch file; lives as long as a reference, also after a reset */

/*
 * A protected image is found by its name, and also by the file itself (image_owner.h): `fd`, which
 * may be O_PATH, with its device and inode. The find functions take a reference, which disk_put()
 * gives up; NULL when there is no such disk. Finding a file that may be protected asks its
 * filesystem.
 */
struct disk *disks_find(struct disks *disks, const char *name);
struct disk *disks_find_file(struct disks *disks, int fd, dev_t device, ino_t inode);
bool disks_any_beneath(struct disks *disks, const char *directory);
struct disk *disk_get(struct disk *disk);
void disk_put(struct disk *disk); /* NULL is fine */
const char *disk_name(const struct disk *disk);

/*
 * Whether a file that is no disk may be written. -EROFS where layers of another state directory
 * stand on it (image_mark.h), which would be worthless then; another negative errno where that
 * cannot be told. The first of them is told to the log. Asks its filesystem.
 */
int disks_check_plain_write(struct disks *disks, int fd);

/*
 * Where a change of a name in the tree, or of what a real file's attributes say, is claimed
 * (name_claim.h), so that no name becomes a disk meanwhile.
 */
struct name_claims *disks_names(struct disks *disks);

/*
 * The disk behind `disk` in the order of their names, or the first (NULL): a reference, for the one
 * on `disk`, which is given up. So a walk needs no lock between two steps: it goes on behind a disk
 * that is removed meanwhile.
 */
struct disk *disks_step(struct disks *disks, struct disk *disk);

/*
 * Call `visit` for each component directly beneath `directory` ("" is the root) of the names of all
 * disks: "a/b.img" is visited as "a" (is_directory) in "" and as "b.img" in "a". A component may
 * come up more than once. Ends when `visit` returns false.
 */
void disks_visit_names(struct disks *disks, const char *directory,
		       bool (*visit)(void *context, const char *component, bool is_directory), void *context);

/*
 * After a restart of the daemon under a mount that stayed: the domains have noticed nothing, so the
 * sessions go on. Labels that no session needs are forgotten, as at a session's end.
 */
void disks_go_on(struct disks *disks);
void disks_forget_old_labels(struct disks *disks);

struct scratch *scratch_get(struct scratch *scratch);
void scratch_put(struct scratch *scratch); /* NULL is fine */

#endif
