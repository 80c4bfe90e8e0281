/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads that read requests from /dev/fuse and answer them. Any of them may block, since
 * another one reads.
 */
#ifndef REVERTFS_MOUNT_READERS_H
#define REVERTFS_MOUNT_READERS_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "ops.h"
#include "util.h"

struct readers;

/* `ops` is borrowed. A negative errno with a sentence on failure. */
int readers_new(struct ops *ops, struct readers **ret_readers, struct sentence *error);
void readers_free(struct readers *readers); /* all threads must have ended; NULL is fine */

/*
 * Start the threads, which then wait for readers_go(). Session and descriptor are borrowed.
 * A negative errno with a sentence on failure.
 */
int readers_start(struct readers *readers, struct fuse_session *session, int fuse_fd, struct sentence *error);
void readers_go(struct readers *readers);

/* An eventfd, borrowed: readable when a thread has seen the end of the connection. */
int readers_ended_fd(const struct readers *readers);

/*
 * Read no more, and wait until what was read has been answered: some seconds, since a filesystem
 * beneath may hang, and longer for commands, which the caller has interrupted (ops_stop()). With
 * `resent` the kernel sends to the next daemon what has no answer by then, so commands are not
 * waited for; else that is answered with EIO. Returns whether all threads have ended; where one has
 * not, nothing that it uses may be freed.
 */
bool readers_stop(struct readers *readers, bool resent);

#endif
