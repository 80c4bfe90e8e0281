/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FUSE requests, turned into calls of the tree. Only this file knows libfuse's requests and
 * replies.
 */
#ifndef REVERTFS_MOUNT_OPS_H
#define REVERTFS_MOUNT_OPS_H

#include <fuse_lowlevel.h>

#include "disks.h"
#include "tree.h"

struct ops;

/* Tree and disks are borrowed. 0 or a negative errno. */
int ops_new(struct tree *tree, struct disks *disks, struct ops **ret_ops);

/*
 * Interrupt the commands that run, and wait until every request that has a thread of its own has
 * been answered.
 */
void ops_stop(struct ops *ops);
void ops_free(struct ops *ops); /* NULL is fine */

/* For fuse_session_new(), whose user data must be the struct ops. */
const struct fuse_lowlevel_ops *ops_table(void);

/*
 * Answer one message of the kernel, or hand it to a thread that will. The buffer of the message
 * must have HANDSHAKE_MESSAGE_ROOM + HANDSHAKE_MAX_WRITE bytes, whatever the message's size: the
 * reply to a read is put together behind it.
 */
void ops_process(struct ops *ops, struct fuse_session *session, const struct fuse_buf *message);

#endif
