/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a daemon tells or asks the kernel unasked: messages on /dev/fuse without a request.
 */
#ifndef REVERTFS_KERNEL_NOTIFICATION_H
#define REVERTFS_KERNEL_NOTIFICATION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Have the kernel send again, with WIRE_RESENT in their numbers and before any other, the requests
 * that an earlier daemon has read and not answered. To be called before anything is read. 0 or a
 * negative errno.
 */
int notification_resend(int fuse_fd);

/*
 * Whether the kernel has this node. It is told that the attributes have changed, which it never
 * remembers anyway, and answers that there is no such node where there is none.
 */
bool notification_knows(int fuse_fd, uint64_t nodeid);

#endif
