/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening what a path leads to, where users may have made any part of the path.
 */
#ifndef REVERTFS_DURABLE_BENEATH_H
#define REVERTFS_DURABLE_BENEATH_H

/*
 * Open a file beneath a directory, close-on-exec. `name` may have several components, but none may
 * be a symlink (-ELOOP) or lead out of the directory (-EXDEV), or into a FUSE filesystem that a
 * user serves (-EACCES): a thread that waits for an answer of its server cannot be killed. Blocks
 * as the filesystems there do. A descriptor or a negative errno.
 */
int io_open_beneath(int directory, const char *name, int flags);

#endif
