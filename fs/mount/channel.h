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
 * Mount on options->mount, and write down in the handover what the next daemon must know of the
 * mount. Requests wait until channel_run(). A negative errno with a sentence on failure.
 */
int channel_mount(const struct options *options, const struct wishes *wishes, struct ops *ops,
		  struct handover *handover, struct channel **ret_channel, struct sentence *error);

/*
 * Take over the connection that an earlier daemon left, as the handover describes it; the
 * descriptor is consumed. channel_run() has the kernel send again what that daemon had not
 * answered. A negative errno with a sentence on failure.
 */
int channel_adopt(const struct options *options, int fuse_fd, struct ops *ops, struct handover *handover,
		  struct channel **ret_channel, struct sentence *error);

int channel_fd(const struct channel *channel); /* /dev/fuse, borrowed */
bool channel_has_passthrough(const struct channel *channel);

/*
 * Whether the kernel sends unanswered requests to the next daemon. Where it does not (before Linux
 * 6.9), a caller whose request was not answered waits until the mount is gone.
 */
bool channel_can_resend(const struct channel *channel);

/*
 * Serve requests until somebody unmounts, or until `stop_fd` is readable; `leaves` is then asked
 * whether the mount is to be left to the next daemon. `ready` is called when all is there
 * to answer requests, before the first is answered, and `ends` right before the mount goes, or when
 * somebody has taken it away. On return no thread reads requests. Where the
 * mount was left and the kernel sends again what has no answer, commands may still run; else all
 * has been answered, but what hangs in a filesystem beneath (channel_hangs()). 0 when the mount is
 * gone, 1 when it was left to the next daemon, or a negative errno with a sentence.
 */
struct channel_events {
	int stop_fd;
	void (*ready)(void *context);
	bool (*leaves)(void *context);
	void (*ends)(void *context);
	void *context;
};
int channel_run(struct channel *channel, const struct channel_events *events, struct sentence *error);

/* Whether requests are still being answered: nothing that they use may be freed. NULL is fine. */
bool channel_hangs(const struct channel *channel);

/*
 * Unmount, unless the mount is gone or left. Whoever still has files open gets errors. NULL is
 * fine.
 */
void channel_free(struct channel *channel);

#endif
