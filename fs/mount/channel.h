/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to the kernel: /dev/fuse, the mount that belongs to it, and the threads that read
 * requests.
 */
#ifndef REVERTFS_MOUNT_CHANNEL_H
#define REVERTFS_MOUNT_CHANNEL_H

#include <stdbool.h>

#include "handover.h"
#include "handshake.h"
#include "ops.h"
#include "options.h"
#include "util.h"

struct channel;

/*
 * Mount on options->mount; what a successor must know of it is written down. Requests wait until
 * channel_run().
 */
int channel_mount(const struct options *options, const struct wishes *wishes, struct ops *ops,
		  struct handover *handover, struct channel **ret_channel, struct sentence *error);

/*
 * Take over the connection that an earlier daemon has left, as the handover says; the descriptor is
 * consumed. What that daemon had not answered comes again, before anything else.
 */
int channel_adopt(const struct options *options, int fuse_fd, struct ops *ops, struct handover *handover,
		  struct channel **ret_channel, struct sentence *error);

int channel_fd(const struct channel *channel); /* /dev/fuse, borrowed */
bool channel_has_passthrough(const struct channel *channel);

/*
 * Whether a successor gets what we leave unanswered; without it (Linux before 6.9) whoever waits
 * for it waits until the mount is gone.
 */
bool channel_can_resend(const struct channel *channel);

/*
 * Serve requests until somebody unmounts, or `stop_fd` becomes readable and `leaves` does not say
 * that the mount is to stay; then no request is being read any more, but some may still be being
 * answered by other threads. `ready` is called as soon as requests are answered. 0, 1 when the
 * mount was left to a successor, or a negative errno with a sentence.
 */
struct channel_events {
	int stop_fd;
	void (*ready)(void *context);
	bool (*leaves)(void *context);
	void *context;
};
int channel_run(struct channel *channel, const struct channel_events *events, struct sentence *error);

/* Unmount, unless that has happened; whoever still has files open gets errors. NULL is fine. */
void channel_free(struct channel *channel);

#endif
