/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notifications: messages to the kernel on /dev/fuse that answer no request. Some wait while an
 * inode is released, which may need answers: [waits] says that no thread which gives answers may
 * send it.
 */
#ifndef REVERTFS_KERNEL_NOTIFICATION_H
#define REVERTFS_KERNEL_NOTIFICATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Have the kernel send the requests again that an earlier daemon read and did not answer. They come
 * before all others, with WIRE_RESENT in their numbers. To be called before anything is read from
 * the descriptor. 0 or a negative errno.
 */
int notification_resend(int fuse_fd);

/*
 * [waits] Whether the kernel still has this node. There is no question for that, so the kernel is
 * told that the node's attributes have changed, which does no harm since it never caches them; it
 * says ENOENT where it has no such node.
 */
bool notification_knows(int fuse_fd, uint64_t nodeid);

/*
 * [waits] Have the kernel drop what it has of these nodes in its cache alone: it sends a FORGET for
 * each that nobody uses (fs/fuse/dev.c, fuse_notify_prune()). -EINVAL before Linux 6.18.
 */
#define NOTIFICATION_PRUNE_MAX 512
int notification_prune(int fuse_fd, const uint64_t *nodeids, size_t count);

#endif
