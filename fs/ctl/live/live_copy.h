/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live snapshots of several disks, asked for at the same time. The daemon first copies a disk's
 * scratch: the guest may then go on. After a while, when the copy is checked and synced, the daemon
 * answers.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_COPY_H
#define REVERTFS_CTL_LIVE_LIVE_COPY_H

#include "client.h"

struct live_copy {
	const char *name, *snapshot; /* the disk, and the snapshot's name; borrowed */
	struct question question;    /* its line is borrowed */
	struct inquiry inquiry;
	bool open;   /* asked, and not settled */
	bool copied; /* the status says so */
};

/* Ask for the snapshot. A question that cannot be asked is settled at once, with an error. */
void live_copy_begin(struct live_copy *live_copy);

/*
 * Return when each disk has its copy or an answer, or at the deadline (of monotonic_ms()). A disk
 * without a copy then has its command withdrawn, as far as the kernel can, and is settled with
 * -ETIMEDOUT.
 */
void live_copy_until_copied(struct live_copy *copies, size_t count, uint64_t deadline);

/*
 * Return when each question is settled, as after client_ask(); the rest at the deadline, with
 * -ETIMEDOUT.
 */
void live_copy_until_settled(struct live_copy *copies, size_t count, uint64_t deadline);

void live_copy_clear(struct live_copy *live_copy);

#endif
