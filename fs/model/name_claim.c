/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims are one list, in the order in which they came, and each waits for those before it that are
 * in its way. So who wants a name exclusively is not starved by those who come later.
 */
#include "name_claim.h"

#include <errno.h>
#include <time.h>

#include "lock.h"
#include "util.h"

static bool overlap(const char *a, const char *b)
{
	return a && b && (path_is_beneath(a, b) || path_is_beneath(b, a));
}

static bool is_in_the_way(const struct name_claim *a, const struct name_claim *b)
{
	if (!a->exclusive && !b->exclusive)
		return false;
	if (a->inode && a->inode == b->inode && a->device == b->device)
		return true;
	for (int i = 0; i < 2; i++)
		for (int k = 0; k < 2; k++)
			if (overlap(a->paths[i], b->paths[k]))
				return true;
	return false;
}

static bool must_wait_locked(const struct name_claims *claims, const struct name_claim *claim)
{
	const struct name_claim *other = claims->first;

	while (other != claim && !is_in_the_way(other, claim))
		other = other->next;
	return other != claim;
}

static void unlink_locked(struct name_claims *claims, struct name_claim *claim)
{
	*claim->place = claim->next;
	if (claim->next)
		claim->next->place = claim->place;
	else
		claims->end = claim->place;
	pthread_cond_broadcast(&claims->fewer);
}

int name_claim_take(struct name_claims *claims, struct name_claim *claim)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += NAME_CLAIM_WAIT_MS / 1000;
	claim->claims = claims;
	claim->next = NULL;
	LOCKED (&claims->lock) {
		claim->place = claims->end;
		*claims->end = claim;
		claims->end = &claim->next;
		while (r == 0 && must_wait_locked(claims, claim))
			r = -pthread_cond_timedwait(&claims->fewer, &claims->lock, &until);
		if (r < 0)
			unlink_locked(claims, claim);
	}
	return r < 0 ? -EBUSY : 0;
}

void name_claim_release(struct name_claim *claim)
{
	LOCKED (&claim->claims->lock)
		unlink_locked(claim->claims, claim);
}

void name_claims_init(struct name_claims *claims)
{
	pthread_mutex_init(&claims->lock, NULL);
	cond_init_monotonic(&claims->fewer);
	claims->first = NULL;
	claims->end = &claims->first;
}

void name_claims_destroy(struct name_claims *claims)
{
	pthread_cond_destroy(&claims->fewer);
	pthread_mutex_destroy(&claims->lock);
}
