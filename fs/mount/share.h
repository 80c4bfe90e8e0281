/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shares: how much of a limited thing each owner has, so that no one keeps the others out.
 *
 * An owner gets more only while he has less than what is left. One alone thus gets half at most,
 * two a third each, and however many there are, as much as each of them has is left for the next.
 * Root has a part of its own, which the others cannot use up, nor it theirs. A part may be kept
 * for owners who have next to nothing, where there may be many who want much.
 *
 * What was taken is a stake. The stakes of an owner are a list in the order in which they were last
 * used, for what can be given up again.
 *
 * Nothing here locks: a lock of the caller's guards the shares and all their stakes.
 */
#ifndef REVERTFS_MOUNT_SHARE_H
#define REVERTFS_MOUNT_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct share;

/* Embedded in what it pays for; all zero: nothing was taken. */
struct stake {
	struct share *share;
	uint64_t amount;
	struct stake *older, *newer;
};

#define SHARE_CHAINS 64

struct shares {
	uint64_t limit;      /* of all owners but root */
	uint64_t root_limit; /* of root, owner 0 */
	uint64_t kept, few;  /* shares_keep() */
	uint64_t total;      /* what all but root have */
	uint64_t root_total;
	uint64_t told; /* when the log was told of an owner who has nothing; monotonic ms */
	struct share *chains[SHARE_CHAINS];
};

/* Who has something: a user of the whole mount, or a user of one disk. */
uint64_t share_of_user(uid_t uid);
uint64_t share_of_disk(const char *name, uid_t uid);

void shares_init(struct shares *shares, uint64_t limit, uint64_t root_limit);

/* Besides, who has fewer than `few` gets more as long as `kept` is not used up by such owners. */
void shares_keep(struct shares *shares, uint64_t kept, uint64_t few);
void shares_destroy(struct shares *shares); /* the stakes are void then */

/*
 * Take for an owner: 0, -ENFILE when he has as much as he may, or -ENOMEM. shares_force() refuses
 * nothing; out of memory, the stake stays empty.
 */
int shares_take(struct shares *shares, uint64_t owner, uint64_t amount, struct stake *stake);
void shares_force(struct shares *shares, uint64_t owner, uint64_t amount, struct stake *stake);
void shares_give(struct shares *shares, struct stake *stake); /* an empty stake is fine */

/* What all have, root too. */
uint64_t shares_sum(const struct shares *shares);

/* What an owner has. */
uint64_t shares_of(struct shares *shares, uint64_t owner);

/* The owner was refused: whether the log is to say so now, which it does once a minute. */
bool shares_tell(struct shares *shares, uint64_t owner);

/* Whether the stake's owner has more than half of what he may have. */
bool shares_near(const struct shares *shares, const struct stake *stake);

/*
 * One thread of an owner who was refused may wait for something to come back; false: one does so
 * already, or has waited in vain a moment ago.
 */
bool shares_begin_wait(struct shares *shares, uint64_t owner);
void shares_end_wait(struct shares *shares, uint64_t owner, bool in_vain);

/* The stake was used: it becomes the newest of its owner's. */
void shares_use(struct stake *stake);

/*
 * The share of whoever has most, or, of those of whom shares_near() is true, of the first owner
 * whose number is not below `from`. NULL when there is none. And its oldest stake.
 */
struct share *shares_largest(const struct shares *shares);
struct share *shares_next_near(const struct shares *shares, uint64_t from, uint64_t *ret_owner);
struct stake *share_oldest(const struct share *share);
uint64_t share_count(const struct share *share); /* of its stakes */

#endif
