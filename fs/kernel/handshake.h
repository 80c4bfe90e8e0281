/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first message on /dev/fuse: what the kernel can do, and what of it we use.
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
#define HANDSHAKE_MESSAGE_ROOM (1u << 12) /* for what stands before the data; the kernel refuses to write into less */

struct wishes {
	bool acls; /* the kernel enforces POSIX ACLs */
	enum passthrough_mode passthrough;
	unsigned stack_depth; /* of the filesystems that files are passed through to, with ours on top */
};

/* What a restart must know of it. */
struct handshake {
	uint64_t granted; /* WIRE_... */
	uint32_t init_length;
	struct {
		struct wire_request request;
		struct wire_init init;
	} init; /* as the kernel sent it */
};

/* Looks at the filesystems, so it is called before the mount covers any of them. */
struct wishes handshake_wishes(const struct options *options, bool acls);

/* Read the INIT of a fresh mount and answer it. 0, or a negative errno with a sentence. */
int handshake_answer(int fd, const struct wishes *wishes, struct handshake *ret_handshake, struct sentence *error);

#endif
