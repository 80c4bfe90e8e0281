/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which file a file is. A name may lead to another file tomorrow, an inode number is given to
 * another file once the first is gone, and size and modification time can be equal by chance or by
 * `cp -p`. What proves that a file is the one that was seen before, after any restart, is
 *
 *   ext2 to ext4, XFS,   its file handle (name_to_handle_at(2)), which holds the inode number and
 *   btrfs, NFS           a generation, together with the filesystem's UUID
 *   elsewhere            its inode number and the time of its birth, where statx(2) gives one
 *   where is neither     nothing: the text is empty. So it is with most FUSE filesystems, whose
 *                        handles are dealt out anew at each mount, and then match other files
 */
#ifndef REVERTFS_FILES_FILE_IDENTITY_H
#define REVERTFS_FILES_FILE_IDENTITY_H

#include <stddef.h>

/*
 * The identity of a regular file or a directory as clean text. `fd` may be O_PATH. 0, also with an
 * empty text; or a negative errno where it cannot be told now: -ENAMETOOLONG where the text would
 * not fit. Blocks as long as the filesystem does.
 */
int file_identity(int fd, char *identity, size_t size);

/*
 * Whether two identities are of files in one filesystem. -EOPNOTSUPP where they do not tell: only
 * those with a handle do.
 */
int file_identity_same_filesystem(const char *a, const char *b);

#endif
