/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live snapshots of several disks, asked for at the same time: a disk's copy is made first, and the
 * guest may go on then, and after a while, when it is checked and synced, there is an answer.
 */
#ifndef REVERTFS_CTL_LIVE_LIVE_COPY_H
#define REVERTFS_CTL_LIVE_LIVE_COPY_H

#include "client.h"

struct live_copy {
	const char *name, *snapshot; /* the disk, and the snapshot's name; borrowed */
	struct question question;    /* its line is borrowed */
	struct inquiry inquiry;
	bool open;   /* not settled */
	bool copied; /* as the status says */
};

/* Ask. What cannot be asked is settled at once. */
void live_copy_begin(struct live_copy *live_copy);

/*
 * Come back when each has its copy or an answer, or at the deadline (of monotonic_ms()): what has
 * no copy then is taken back as far as possible, and settled with -ETIMEDOUT.
 */
void live_copy_until_copied(struct live_copy *copies, size_t count, uint64_t deadline);

/*
 * Come back when each is settled, as after client_ask(), the rest at the deadline with -ETIMEDOUT.
 */
void live_copy_until_settled(struct live_copy *copies, size_t count, uint64_t deadline);

void live_copy_clear(struct live_copy *live_copy);

#endif
