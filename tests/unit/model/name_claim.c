/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims on names: which are in each other's way, and that who waits is served in turn.
 */
#include "test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "name_claim.h"

struct waiter {
	struct name_claims *claims;
	struct name_claim claim;
	atomic_bool has_it;
	pthread_t thread;
};

static void *take(void *argument)
{
	struct waiter *waiter = argument;

	check_int(name_claim_take(waiter->claims, &waiter->claim), 0);
	atomic_store(&waiter->has_it, true);
	return NULL;
}

static bool is_listed(struct name_claims *claims, const struct name_claim *claim)
{
	const struct name_claim *other;

	pthread_mutex_lock(&claims->lock);
	for (other = claims->first; other && other != claim; other = other->next)
		;
	pthread_mutex_unlock(&claims->lock);
	return other != NULL;
}

/* Ask from a thread of its own, and wait until it is in the list. */
static void ask(struct waiter *waiter, struct name_claims *claims)
{
	waiter->claims = claims;
	pthread_create(&waiter->thread, NULL, take, waiter);
	while (!is_listed(claims, &waiter->claim))
		sched_yield();
}

static void finish(struct waiter *waiter)
{
	pthread_join(waiter->thread, NULL);
	check(atomic_load(&waiter->has_it));
	name_claim_release(&waiter->claim);
}

/* Whether the second waits for the first at each of so many looks, 0.1 ms apart. */
static bool in_the_way(struct name_claim first, struct name_claim second, int looks)
{
	struct name_claims claims;
	struct waiter waiter = { .claim = second };
	bool waited;

	name_claims_init(&claims);
	check_int(name_claim_take(&claims, &first), 0);
	ask(&waiter, &claims);
	for (int i = 0; i < looks && !atomic_load(&waiter.has_it); i++)
		usleep(100);
	waited = !atomic_load(&waiter.has_it);
	name_claim_release(&first);
	finish(&waiter);
	check(claims.first == NULL);
	name_claims_destroy(&claims);
	return waited;
}

static void check_waits(struct name_claim first, struct name_claim second)
{
	check(in_the_way(first, second, 200));
}

static void check_goes_on(struct name_claim first, struct name_claim second)
{
	check(!in_the_way(first, second, 100000));
}

#define SHARED(path) ((struct name_claim){ .paths = { path } })
#define EXCLUSIVE(path) ((struct name_claim){ .paths = { path }, .exclusive = true })
#define FILE_OF(number, alone) ((struct name_claim){ .device = 1, .inode = number, .exclusive = alone })

TEST(two_changes_are_never_in_each_others_way)
{
	check_goes_on(SHARED("a"), SHARED("a"));
	check_goes_on(FILE_OF(5, false), FILE_OF(5, false));
}

TEST(a_name_that_becomes_a_disk_waits_for_changes_of_it_and_of_what_is_above_or_beneath)
{
	check_waits(SHARED("a/b"), EXCLUSIVE("a/b"));
	check_waits(EXCLUSIVE("a/b"), SHARED("a/b"));
	check_waits(SHARED("a"), EXCLUSIVE("a/b"));
	check_waits(SHARED("a/b/c"), EXCLUSIVE("a/b"));
	check_goes_on(SHARED("a/c"), EXCLUSIVE("a/b"));
	check_goes_on(SHARED("a/bb"), EXCLUSIVE("a/b"));
	check_waits((struct name_claim){ .paths = { "x", "a/b" } }, EXCLUSIVE("a/b"));
}

TEST(a_file_that_becomes_protected_waits_for_changes_of_it_by_whatever_name)
{
	check_waits(FILE_OF(5, false), FILE_OF(5, true));
	check_goes_on(FILE_OF(5, false), FILE_OF(6, true));
	check_goes_on(FILE_OF(5, false), EXCLUSIVE("a"));
}

TEST(who_waits_is_not_starved_by_those_who_come_later)
{
	struct name_claims claims;
	struct name_claim first = SHARED("a");
	struct waiter alone = { .claim = EXCLUSIVE("a") }, later = { .claim = SHARED("a") };

	name_claims_init(&claims);
	check_int(name_claim_take(&claims, &first), 0);
	ask(&alone, &claims);
	ask(&later, &claims);
	name_claim_release(&first);
	pthread_join(alone.thread, NULL);
	check(atomic_load(&alone.has_it));
	check(!atomic_load(&later.has_it));
	name_claim_release(&alone.claim);
	finish(&later);
	name_claims_destroy(&claims);
}
