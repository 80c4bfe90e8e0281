/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who pays for a node (share.h): whoever looked it up first. He may be done with it while another
 * keeps it, so where he has nearly as much as he may, whoever looks it up pays from then on.
 */
#include <errno.h>

#include "lock.h"
#include "log.h"
#include "node_handover.h"
#include "node_internal.h"
#include "util.h"

#define WAIT_MS 1500 /* the notifier may rest for a second before it asks the kernel again */

/*
 * Disks, their views and what is always there are not: these are few, and guests need them. Nor is
 * what root speaks through, for he must be able to speak, whatever else was made to count to him.
 */
static bool is_counted(const struct node *node)
{
	return node->kind == NODE_FILE || (node->kind == NODE_FIXED && node->fixed == FIXED_CONTROL && node->owner);
}

int node_pay_locked(struct node_table *table, struct node *node)
{
	int r = 0;

	if (!table->root || !is_counted(node))
		return 0;
	if (node->inherited)
		shares_force(&table->shares, share_of_user(node->owner), 1, &node->stake);
	else
		r = shares_take(&table->shares, share_of_user(node->owner), 1, &node->stake);
	if (r == -ENFILE || shares_near(&table->shares, &node->stake))
		node_wake_locked(table);
	return r;
}

int node_take_over_locked(struct node_table *table, struct node *node, uid_t owner)
{
	int r;

	if (!owner || owner == HANDOVER_UNKNOWN || owner == node->owner || !shares_near(&table->shares, &node->stake))
		return 0;
	shares_give(&table->shares, &node->stake);
	r = shares_take(&table->shares, share_of_user(owner), 1, &node->stake);
	if (r < 0) {
		shares_force(&table->shares, share_of_user(node->owner), 1, &node->stake);
		node_wake_locked(table);
		return r;
	}
	node->owner = owner;
	node_handover_owner(node);
	pthread_cond_broadcast(&table->freed);
	return 0;
}

/*
 * Who looks at many files one after the other leaves nodes behind that are given back a moment
 * later: where that is slower than he, he waits. One thread of a user does, so that he does not
 * occupy more; and only so long that nobody minds, since they may all be in use.
 */
static bool wait_for_room_locked(struct node_table *table, uid_t owner, uint64_t deadline)
{
	struct timespec until = { .tv_sec = (time_t)(deadline / 1000), .tv_nsec = (long)(deadline % 1000) * 1000000 };
	int r;

	if (!shares_begin_wait(&table->shares, share_of_user(owner)))
		return false;
	r = pthread_cond_timedwait(&table->freed, &table->lock, &until);
	shares_end_wait(&table->shares, share_of_user(owner), r != 0);
	return r == 0;
}

static void tell_refused(struct node_table *table, uid_t owner)
{
	uint64_t count = 0;
	bool tell = false;

	LOCKED (&table->lock) {
		tell = shares_tell(&table->shares, share_of_user(owner));
		count = shares_of(&table->shares, share_of_user(owner));
	}
	if (tell)
		log_warning(
			"user %u has %llu files and directories in use, as many as one may have now: looking up or making more is refused (ENFILE)",
			owner, (unsigned long long)count);
}

int node_has_room(struct node_table *table, uid_t owner)
{
	uint64_t deadline = monotonic_ms() + WAIT_MS;
	struct stake stake = { .share = NULL };
	int r = 0;

	LOCKED (&table->lock) {
		do {
			r = shares_take(&table->shares, share_of_user(owner), 1, &stake);
			if (r == -ENFILE)
				node_wake_locked(table);
		} while (r == -ENFILE && wait_for_room_locked(table, owner, deadline));
		shares_give(&table->shares, &stake);
	}
	if (r == -ENFILE)
		tell_refused(table, owner);
	return r;
}
