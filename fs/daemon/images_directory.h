/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The directory of the images, whose filesystem may be mounted later than it should.
 */
#ifndef REVERTFS_DAEMON_IMAGES_DIRECTORY_H
#define REVERTFS_DAEMON_IMAGES_DIRECTORY_H

#include "model.h"

/*
 * Open it. *fd is the descriptor that an earlier daemon of the mount has left, or -1. That one is
 * replaced where the path leads to another directory by now and the old one is empty; else a
 * difference is logged. 1 when *fd is another than it was, 0, or a negative errno with a sentence.
 * Blocks for the filesystem where nothing was left, else for two seconds at most.
 */
int images_directory_open(const struct options *options, int *fd, struct sentence *error);

/*
 * Whether it is the one that the records mean, when the layers are loaded: -ENOENT, with a
 * sentence, when there are images in the records, not one of them is there, and none was in the
 * filesystem that is: it is not mounted. A mount that is taken over has guests that go on without
 * their images, and is not asked.
 */
int images_directory_check(struct disks *disks, struct sentence *error);

#endif
