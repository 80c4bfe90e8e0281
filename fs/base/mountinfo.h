/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading /proc/self/mountinfo: the kernel's list of mounts, in the format of proc(5).
 *
 * Nothing here looks at a mount itself, which may be served by a daemon that hangs.
 */
#ifndef REVERTFS_BASE_MOUNTINFO_H
#define REVERTFS_BASE_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

#define MOUNTINFO_FILE "/proc/self/mountinfo"
#define MOUNTINFO_REVERTFS "fuse.revertfs" /* the type of our mounts */

/* One mount. The texts point into the list; the kernel's escapes in paths are undone. */
struct mountinfo {
	const char *device; /* "major:minor", the same for two mounts of one filesystem */
	const char *root;   /* what of the filesystem is mounted: "/" unless it is a bind mount */
	const char *point;  /* where it is mounted */
	const char *type;
	const char *source; /* of a revertfs: its images directory */
};

/* Read a list; the caller frees the text. 0, or a negative errno of open(2), read(2) or memory. */
int mountinfo_read(const char *file, char **ret_text);

/*
 * Parse the next mount in the text that *cursor points to, and move the cursor behind it; the text
 * is changed. Lines that are not as proc(5) says are skipped. False at the end.
 */
bool mountinfo_next(char **cursor, struct mountinfo *ret_mount);

/* The device as the st_dev that fstat(2) gives for the mount's files; 0 when it is no number. */
dev_t mountinfo_device(const struct mountinfo *mount);

/*
 * The device (st_dev) of the mount on top at exactly this path, and whether it is a revertfs. Of
 * two mounts at one path the later line is on top. 0, -ENOENT when nothing is mounted there, or
 * what mountinfo_read() failed with.
 */
int mountinfo_find(const char *path, dev_t *ret_device, bool *ret_ours);

#endif
