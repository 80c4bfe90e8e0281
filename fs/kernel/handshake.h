/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first message on /dev/fuse: what the kernel can do, and what of that the daemon uses.
 */
#ifndef REVERTFS_KERNEL_HANDSHAKE_H
#define REVERTFS_KERNEL_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "util.h"
#include "wire.h"

#define HANDSHAKE_MAX_WRITE (1u << 20)    /* of data, in one message */
#define HANDSHAKE_MESSAGE_ROOM (1u << 12) /* for the headers before the data; the kernel refuses a shorter buffer */

struct wishes {
	bool acls; /* the kernel enforces POSIX ACLs */
	enum passthrough_mode passthrough;
	unsigned stack_depth; /* filesystems on top of each other, with this mount on top of those passed through to */
};

/* Part of the handover: a daemon that takes over the connection gets no INIT of its own. */
struct handshake {
	uint64_t granted; /* WIRE_... flags */
	uint32_t init_length;
	struct {
		struct wire_request request;
		struct wire_init init;
	} init; /* as the kernel sent it */
};

/*
 * Looks at the filesystems of the options' paths: to be called before the mount covers any of them.
 */
struct wishes handshake_wishes(const struct options *options, bool acls);

/* Wait for the INIT of a fresh mount and answer it. 0, or a negative errno with a sentence. */
int handshake_answer(int fd, const struct wishes *wishes, struct handshake *ret_handshake, struct sentence *error);

#endif
