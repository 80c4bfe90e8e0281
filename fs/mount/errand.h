/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which lanes a message of the kernel goes through (lane.h), by its header and by the file that it
 * is about.
 */
#ifndef REVERTFS_MOUNT_ERRAND_H
#define REVERTFS_MOUNT_ERRAND_H

#include "lane.h"
#include "tree.h"
#include "wire.h"

/* What a message means for the thread that answers it. */
enum errand_kind {
	ERRAND_SHORT,
	ERRAND_DATA,    /* data of a file comes in the message, or goes back in its buffer */
	ERRAND_COMMAND, /* may take hours */
};

/* The message is `request->length` bytes long. Asks the tree about it, and never blocks. */
enum errand_kind errand_of(struct tree *tree, const struct wire_request *request, struct errand *ret_errand);

/* The errand of a message about a file in this place, and of a command on behalf of a uid. */
struct errand errand_to(const struct wire_request *request, const struct place *place);
struct errand errand_of_command(const struct wire_request *request, uid_t uid);

/* What was to be a lookup in one filesystem turned out to lead into another, on this device. */
void errand_goes_elsewhere(struct errand *errand, const struct wire_request *request, dev_t device);

/* What the caller is told whose request is refused: a negative errno. */
int errand_refusal(const struct wire_request *request);

#endif
