/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether what a layer stands on can take it when it is folded.
 */
#ifndef REVERTFS_DISK_WRITABLE_H
#define REVERTFS_DISK_WRITABLE_H

#include "model.h"

/*
 * Whether the file of a layer or image, open as `fd`, can get this virtual size: qemu-img does not
 * enlarge every qcow2 file. 0, also where it is as large; -EOPNOTSUPP, or an error of reading, with a
 * sentence that says why. What wants to grow a disk asks this of all that its fold goes through.
 */
int writable_check_size(const struct layer *layer, int fd, uint64_t size, struct sentence *error);

#endif
