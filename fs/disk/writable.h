/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether what a layer stands on can take it when it is folded.
 */
#ifndef REVERTFS_DISK_WRITABLE_H
#define REVERTFS_DISK_WRITABLE_H

#include "model.h"

/*
 * Whether the image, open as `fd`, may be written. What is found is remembered (trouble.h). With
 * `again` it was begun before, by a fold that was cut short: then a bitmap in use is what that has
 * left. 0; -EBADMSG, or an error of reading, with a sentence.
 */
int writable_check_image(struct layer *root, int fd, bool again, struct sentence *error);

/*
 * Whether the file of a layer or image, open as `fd`, can get this virtual size: qemu-img does not
 * enlarge every qcow2 file, nor a filesystem a raw one. 0, also where it is as large; -EOPNOTSUPP, or an error of reading, with a
 * sentence that says why. What wants to grow a disk asks this of all that its fold goes through.
 */
int writable_check_size(const struct layer *layer, int fd, uint64_t size, struct sentence *error);

#endif
