/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes: how many requests of one kind may be worked on at a time.
 *
 * A request goes through a lane that says who asks, and so through those above it: where it may
 * have to wait, and what one user, or all of them together, may have at work. So no user, and no
 * filesystem that hangs, takes the threads of all the others. Which lanes those are is for others
 * to say (errand.h). A request whose lanes are full is parked. What is parked is bounded; what is
 * beyond that is refused.
 *
 * Nothing here makes a system call, and all functions may be called from any thread.
 */
#ifndef REVERTFS_MOUNT_LANE_H
#define REVERTFS_MOUNT_LANE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define LANE_PARKED_MAX 1024                 /* requests of one payer ... */
#define LANE_PARKED_BYTES ((size_t)64 << 20) /* ... and the bytes of their messages */

/* Two keys are the same lane if kind and numbers are; then their limits must be the same, too. */
struct lane_key {
	unsigned kind; /* 0: no lane */
	unsigned limit;
	uint64_t number, other;
};

/*
 * An errand's lanes. Those whose LANE_WHO is the same must have the others in common, too. What is
 * parked is paid for by LANE_USER or, where there is none, by LANE_WHO.
 */
enum lane_slot { LANE_WHO, LANE_WHERE, LANE_USER, LANE_USERS, LANE_SLOTS };

/*
 * When an errand is refused rather than parked: where its payer has too many parked; where the
 * memory for all data that is parked is used up, and the payer has more than LANE_PARKED_BYTES of
 * it; or never.
 */
enum lane_refusal { LANE_REFUSES_MANY, LANE_REFUSES_DATA, LANE_REFUSES_NEVER, LANE_REFUSALS };

struct lane;

/* A request, as the lanes see it. It stays where it is from lanes_enter() to lanes_leave(). */
struct errand {
	struct lane_key keys[LANE_SLOTS];
	enum lane_refusal refusal;
	size_t bytes; /* of its message */
	uint64_t unique;

	struct errand *next; /* set by lanes_leave() */

	/* The lanes' own. */
	struct lane *lane;
	TAILQ_ENTRY(errand) in_line;
	LIST_ENTRY(errand) by_number;
};

struct lanes;

/* At most so many bytes of data are parked, apart from what each payer may. 0 or -ENOMEM. */
int lanes_new(size_t data_max, struct lanes **ret_lanes);
void lanes_free(struct lanes *lanes); /* no errand may be left; NULL is fine */

/*
 * 0: the errand may be worked on, until lanes_leave(). LANE_PARKED: another errand's lanes_leave()
 * will return it. -EAGAIN: it is refused. lanes_try() says LANE_PARKED without parking it.
 */
#define LANE_PARKED 1
int lanes_enter(struct lanes *lanes, struct errand *errand);
int lanes_try(struct lanes *lanes, struct errand *errand);

/*
 * The work is done. Returns a list, by `next`, of what may now be worked on instead: an errand for
 * each lane that was left at most, or NULL. Of several that could, one whose LANE_WHO is emptiest
 * comes first.
 */
struct errand *lanes_leave(struct lanes *lanes, struct errand *errand);

/* Take back a parked errand: that of a request's number, or any. NULL when there is none. */
struct errand *lanes_take(struct lanes *lanes, uint64_t unique);
struct errand *lanes_take_any(struct lanes *lanes);

#endif
