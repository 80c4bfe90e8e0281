/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What daemons keep beside the images, for daemons of other state directories and other hosts to
 * find: the directory IMAGES/.revertfs. The mount has a .revertfs of its own in that place, so
 * nobody sees it there.
 */
#ifndef REVERTFS_DURABLE_PRIVATE_H
#define REVERTFS_DURABLE_PRIVATE_H

#include <stdbool.h>

#define PRIVATE_DIRECTORY ".revertfs"

/*
 * Open it; with `make` it is made where it is not there (the images directory is not synced). A
 * descriptor or a negative errno: -ENOENT when there is none; -EPERM when somebody else could have
 * put there what is in it, for users may own the images directory, and be first.
 */
int private_directory(int images_fd, bool make);

#endif
