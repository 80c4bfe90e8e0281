/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mark of an image that layers stand on: whose layers these are. A daemon with another state
 * directory knows nothing of them, and finds it here that the image alone is not the whole disk.
 *
 * A mark holds for one file, which its identity says: a copy of the file, made with all its xattrs,
 * has the mark of another file, and that means nothing. It lies in the xattr MARK_XATTR, which none
 * but root sees or sets; where the filesystem has no such xattrs, or the image cannot be changed
 * (chattr +i), in a file of IMAGES/.revertfs (private.h).
 *
 * The xattr is short, so that it fits into an inode where the filesystem is full. What only people
 * want to know lies in another one, if there is room.
 */
#ifndef REVERTFS_FILES_MARK_H
#define REVERTFS_FILES_MARK_H

#include <stdbool.h>

#include "record.h"

#define MARK_XATTR "trusted.revertfs"
#define MARK_WHERE_XATTR "trusted.revertfs.where"
#define MARK_FILE_SIZE 17 /* the identity as 16 hexadecimal digits */
#define MARK_HOST_SIZE 65
#define MARK_PATH_SIZE 1024

struct mark {
	char state[LAYER_ID_SIZE];
	char file[MARK_FILE_SIZE];
	char host[MARK_HOST_SIZE]; /* where that state directory was, for people; or "" */
	char path[MARK_PATH_SIZE];
};

/* How a mark names the file of this identity. */
void mark_name_file(const char *identity, char file[MARK_FILE_SIZE]);

bool mark_is_xattr(const char *name);

/*
 * What an image is marked as, by a descriptor that may be O_PATH. `file` is its own. 1; 0 when
 * it has no mark (*ret_copied: but one of another file); -EBADMSG when it has one that cannot be
 * understood; another negative errno. Blocks for the filesystem.
 */
int mark_read(int images_fd, int fd, const char *file, struct mark *ret_mark, bool *ret_copied);

/*
 * Mark an image that is open for reading, durably. -EROFS or -EPERM where there is no place for a
 * mark: nothing can be written, or others than root could have made IMAGES/.revertfs.
 */
int mark_write(int images_fd, int fd, const struct mark *mark);

/* Take the mark away, in either place; not synced. 0 too when there is none. */
int mark_remove(int images_fd, int fd, const char *file);

#endif
