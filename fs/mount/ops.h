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
#include "wire.h"

struct ops;

/* Tree and disks are borrowed. 0 or a negative errno. */
int ops_new(struct tree *tree, struct disks *disks, struct handover *handover, struct ops **ret_ops);

struct tree *ops_tree(const struct ops *ops); /* borrowed */

/* Interrupt the commands that run, and all that come. Does not wait for their ends. */
void ops_stop(struct ops *ops);
void ops_free(struct ops *ops); /* NULL is fine */

/* For fuse_session_new(), whose user data must be the struct ops. */
const struct fuse_lowlevel_ops *ops_table(void);

/* A message of the kernel. The bytes are borrowed. */
struct message {
	void *bytes;
	size_t length;
	bool is_command; /* a WRITE that tree_takes_commands() */
	bool crosses;    /* a lookup may go on into another filesystem than its directory's */
	dev_t elsewhere; /* set by ops_process() */
};

/*
 * To be asked before anything else is done with a message: whether it has crashed so many daemons
 * that it is not to be tried again. Then it has been answered.
 */
bool ops_gives_up(struct ops *ops, struct fuse_session *session, const struct message *message);

/*
 * Answer one message. The memory of a READ must have HANDSHAKE_MESSAGE_ROOM + HANDSHAKE_MAX_WRITE
 * bytes, whatever the message's size: the reply is put together behind it.
 *
 * False where a lookup leads into another filesystem, whose device `elsewhere` is, and must not:
 * then nothing has been done or answered.
 */
bool ops_process(struct ops *ops, struct fuse_session *session, struct message *message);

#endif
