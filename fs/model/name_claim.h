/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims on names: what keeps a name from becoming a disk, and a file from becoming protected,
 * while somebody changes it.
 *
 * A change of a name or a file claims the paths and the file that it concerns; making a disk and
 * unprotecting one claims its own exclusively. Two claims are in each other's way where one is
 * exclusive and they concern the same file, or paths of which one is the other or lies beneath it.
 * So a change that hangs in its filesystem is in the way of nobody who does not want that very
 * file.
 *
 * All functions may be called from any thread. A thread has one claim at a time, and takes it
 * before any disk's claim and any lock.
 */
#ifndef REVERTFS_MODEL_NAME_CLAIM_H
#define REVERTFS_MODEL_NAME_CLAIM_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#define NAME_CLAIM_WAIT_MS 20000

/* Set what is concerned; the rest is name_claim_take()'s. The texts are borrowed. */
struct name_claim {
	const char *paths[2]; /* in the images directory; NULL: none */
	dev_t device;
	ino_t inode; /* 0: no file */
	bool exclusive;

	struct name_claims *claims;
	struct name_claim *next, **place;
};

struct name_claims {
	pthread_mutex_t lock;            /* guards all below, and each claim's list members */
	pthread_cond_t fewer;            /* CLOCK_MONOTONIC */
	struct name_claim *first, **end; /* in the order in which they came */
};

void name_claims_init(struct name_claims *claims);
void name_claims_destroy(struct name_claims *claims);

/*
 * Wait for those that came before, NAME_CLAIM_WAIT_MS at most. 0, until name_claim_release(), or
 * -EBUSY.
 */
int name_claim_take(struct name_claims *claims, struct name_claim *claim);
void name_claim_release(struct name_claim *claim);

#endif
