/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which mount a name without a path is meant in, where there are several.
 */
#ifndef REVERTFS_CTL_DAEMON_WHICH_MOUNT_H
#define REVERTFS_CTL_DAEMON_WHICH_MOUNT_H

#include "mounts.h"

/*
 * The only mount there is; or the only one that has a disk of this name, or else a file: the daemon
 * there says what is missing. Of an image, which is to become a disk, any file will do. Borrowed
 * from the mounts. All are asked at the same time, with a deadline.
 *
 * -EINVAL where several have the name, or there is none to ask for; -ENOENT where none has it; what
 * client.h says where one does not answer, which may have it as well. Always with a sentence.
 */
int which_mount(const struct mounts *mounts, const char *name, bool is_image, const struct mount **ret_mount,
		struct sentence *error);

#endif
