/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the kernel: /dev/fuse, the mount that belongs to it, and the threads that read requests.
 */
#ifndef REVERTFS_CHANNEL_H
#define REVERTFS_CHANNEL_H

#include "handshake.h"
#include "ops.h"
#include "options.h"
#include "util.h"

struct channel;

/* Mount on options->mount. Requests wait until channel_run(). */
int channel_mount(const struct options *options, const struct wishes *wishes, struct ops *ops,
		  struct channel **ret_channel, struct sentence *error);

/* The descriptor (borrowed) where the kernel has granted passthrough, or -1. */
int channel_passthrough_fd(const struct channel *channel);

/*
 * Serve requests until somebody unmounts, or `stop_fd` becomes readable; then no request is being read any more, but
 * some may still be being answered by other threads. `ready` is called as soon as requests are answered. 0, or a negative
 * errno with a sentence.
 */
int channel_run(struct channel *channel, int stop_fd, void (*ready)(void *context), void *context,
		struct sentence *error);

/* Unmount, unless that has happened; whoever still has files open gets errors. NULL is fine. */
void channel_free(struct channel *channel);

#endif
