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
	int id;
	const char *device; /* "major:minor", the same for two mounts of one filesystem */
	const char *root;   /* what of the filesystem is mounted: "/" unless it is a bind mount */
	const char *point;  /* where it is mounted */
	const char *type;
	const char *source;  /* of a revertfs: its images directory */
	const char *options; /* of the filesystem, comma-separated; "" where there are none */
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
 * Who serves the filesystem of a mount: root (0), unless a list of mounts, which is changed, says
 * that it is the FUSE filesystem of another. -ESTALE when the mount is not there: it was unmounted,
 * and who serves what is still open of it is not known.
 */
int mountinfo_server(char *text, int id, uid_t *ret_server);

/*
 * The same for the mount through which a descriptor, which may be O_PATH, was opened; or another
 * errno. Asks nothing of its filesystem.
 */
int mountinfo_server_of(int fd, uid_t *ret_server);

/*
 * The device (st_dev) of the mount on top at exactly this path, and whether it is a revertfs. Of
 * two mounts at one path the later line is on top. 0, -ENOENT when nothing is mounted there, or
 * what mountinfo_read() failed with.
 */
int mountinfo_find(const char *path, dev_t *ret_device, bool *ret_ours);

#endif
