/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lock on a file that other hosts may lock as well. A server gives it to another host when it has
 * not heard of this one for some time, and tells nobody: GlusterFS after 42 s, CephFS after 59 s,
 * NFS after its lease. When the network is back, this host's writes are taken as before. So who
 * changes something under such a lock takes it again first, and looks whether anybody has had it
 * meanwhile: whoever takes the lock writes into its file who he is.
 *
 * flock(2), not fcntl(2): a FUSE filesystem is told when the last descriptor of a flock(2) is
 * closed, but not of a lock of an open file description.
 */
#ifndef REVERTFS_DURABLE_GUARD_H
#define REVERTFS_DURABLE_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>

#define GUARD_OWNER_SIZE 160

struct guard {
	const char *what;       /* that is locked, for the log */
	int lock;               /* borrowed: the locked file; -1: there is none, and nothing is ever lost */
	const char *filesystem; /* of the file, where other hosts may see it; NULL: the lock cannot be lost */
	char owner[GUARD_OWNER_SIZE];
	atomic_bool lost;
};

/*
 * `lock` was just taken: write into it who has it. Where the lock may be lost it is also tried
 * whether guard_check() works there: else a negative errno, and -EBUSY where the lock cannot be
 * taken twice.
 */
int guard_begin(struct guard *guard, const char *what, int lock);

/*
 * 0: the lock is still ours, and nobody has had it meanwhile. -ESTALE: it is lost, for good, which
 * is logged the first time. Another errno: that cannot be told now. Any thread may ask; it blocks
 * for a server that does not answer.
 */
int guard_check(struct guard *guard);

/* Who has written into the file: "pid 17 on host 'h1'", or "". */
void guard_read_owner(int lock, char text[GUARD_OWNER_SIZE]);

#endif
