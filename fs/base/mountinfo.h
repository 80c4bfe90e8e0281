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

/* One mount. The texts point into the list, with the kernel's escapes undone. */
struct mountinfo {
	const char *device; /* "major:minor", the same for two mounts of one filesystem */
	const char *root;   /* what of the filesystem is mounted: "/" unless it is a bind mount */
	const char *point;  /* where */
	const char *type;
	const char *source;
};

/* Read a list; the caller frees the text. 0, or the negative errno of open(2) and read(2). */
int mountinfo_read(const char *file, char **ret_text);

/*
 * Take the next mount out of the text that *cursor points to, which is changed. Lines that are not
 * as proc(5) says are skipped. False at the end.
 */
bool mountinfo_next(char **cursor, struct mountinfo *ret_mount);

/* The number that fstat(2) gives for the mount's files; 0 when the text is none. */
dev_t mountinfo_device(const struct mountinfo *mount);

/*
 * The number (st_dev) of the mount that is on top at exactly this path: a later line lies on top of
 * an earlier one. 0, -ENOENT when nothing is mounted there, or another error. *ret_ours says
 * whether it is a revertfs.
 */
int mountinfo_find(const char *path, dev_t *ret_device, bool *ret_ours);

#endif
