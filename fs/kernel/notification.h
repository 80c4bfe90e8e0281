/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications: messages to the kernel on /dev/fuse that answer no request.
 */
#ifndef REVERTFS_KERNEL_NOTIFICATION_H
#define REVERTFS_KERNEL_NOTIFICATION_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Have the kernel send the requests again that an earlier daemon read and did not answer. They come
 * before all others, with WIRE_RESENT in their numbers. To be called before anything is read from
 * the descriptor. 0 or a negative errno.
 */
int notification_resend(int fuse_fd);

/*
 * Whether the kernel still has this node. There is no question for that, so the kernel is told that
 * the node's attributes have changed, which does no harm since it never caches them; it says ENOENT
 * where it has no such node.
 */
bool notification_knows(int fuse_fd, uint64_t nodeid);

#endif
