/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buffers that messages of the kernel are read into, each with room for the largest.
 *
 * They are prefaulted and locked in memory: otherwise a SIGKILL that comes while the kernel copies
 * a request to a page that is not there leaves the request half-copied, and the guest gets an
 * error. All functions may be called from any thread.
 */
#ifndef REVERTFS_MOUNT_BUFFERS_H
#define REVERTFS_MOUNT_BUFFERS_H

#include "handshake.h"
#include "util.h"

#define BUFFER_SIZE ((size_t)HANDSHAKE_MAX_WRITE + HANDSHAKE_MESSAGE_ROOM)

struct buffers;

/* `kept` buffers stay for good. A negative errno with a sentence on failure. */
int buffers_new(unsigned kept, struct buffers **ret_buffers, struct sentence *error);
void buffers_free(struct buffers *buffers); /* all must have been put back; NULL is fine */

/*
 * A buffer, which buffer_put() (NULL is fine) gives back; NULL when there is no memory for one
 * more. buffers_trim() frees those that are not in use, as far as they are too many.
 */
char *buffer_get(struct buffers *buffers);
void buffer_put(struct buffers *buffers, char *buffer);
void buffers_trim(struct buffers *buffers);

#endif
