/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE requests, turned into calls of the tree. The only place that knows requests and sends
 * replies.
 */
#ifndef REVERTFS_MOUNT_OPS_H
#define REVERTFS_MOUNT_OPS_H

#include <fuse_lowlevel.h>

#include "disks.h"
#include "tree.h"

struct ops;

int ops_new(struct tree *tree, struct disks *disks, struct ops **ret_ops);

/*
 * Interrupt the commands that are being waited for, and wait until every request has been answered.
 */
void ops_stop(struct ops *ops);
void ops_free(struct ops *ops); /* NULL is fine */

/* For fuse_session_new(), with the ops as its user data. */
const struct fuse_lowlevel_ops *ops_table(void);

/*
 * Answer one request as it came from the kernel: fuse_session_process_buf(), and what libfuse does
 * not pass on. The message's memory is HANDSHAKE_MESSAGE_ROOM + HANDSHAKE_MAX_WRITE long, whatever
 * its size: data to be read is put together in it.
 */
void ops_process(struct ops *ops, struct fuse_session *session, const struct fuse_buf *message);

#endif
