/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of shares: there are as many as owners who have something at the moment.
 */
#include "share.h"

#include <errno.h>
#include <stdlib.h>

#include "util.h"

#define TELL_EVERY_MS 60000
#define WAIT_AGAIN_MS 2000

struct share {
	uint64_t owner;
	uint64_t amount, count;        /* the stakes' amounts, and how many they are */
	struct stake *oldest, *newest; /* the stakes */
	bool waiting;                  /* a thread waits for something to come back */
	uint64_t waited;               /* monotonic ms: when one did so in vain */
	uint64_t told;                 /* monotonic ms of the last sentence in the log; 0: none yet */
	struct share *next;
};

uint64_t share_of_user(uid_t uid)
{
	return uid;
}

/*
 * Two disks whose names have the same hash have one share: nothing worse. The high bit is no
 * user's.
 */
uint64_t share_of_disk(const char *name, uid_t uid)
{
	return 1ULL << 63 | text_hash(name) << 32 | uid;
}

void shares_init(struct shares *shares, uint64_t limit, uint64_t root_limit)
{
	*shares = (struct shares){ .limit = limit, .root_limit = root_limit };
}

void shares_keep(struct shares *shares, uint64_t kept, uint64_t few)
{
	shares->kept = kept;
	shares->few = few;
}

void shares_destroy(struct shares *shares)
{
	for (size_t i = 0; i < SHARE_CHAINS; i++) {
		struct share *next;

		for (struct share *share = shares->chains[i]; share; share = next) {
			next = share->next;
			free(share);
		}
		shares->chains[i] = NULL;
	}
}

/* Where the owner's share is, or would be, in its chain. */
static struct share **place_of(struct shares *shares, uint64_t owner)
{
	struct share **place = &shares->chains[(owner ^ owner >> 32) % SHARE_CHAINS];

	while (*place && (*place)->owner != owner)
		place = &(*place)->next;
	return place;
}

static struct share *find_or_make(struct shares *shares, uint64_t owner)
{
	struct share **place = place_of(shares, owner);

	if (!*place)
		*place = calloc(1, sizeof(**place));
	if (*place)
		(*place)->owner = owner;
	return *place;
}

static void remove_if_empty(struct shares *shares, struct share *share)
{
	struct share **place = place_of(shares, share->owner);

	if (share->count)
		return;
	*place = share->next;
	free(share);
}

/* How much the owner may have, with what the others have now. */
static uint64_t most(const struct shares *shares, const struct share *share)
{
	uint64_t others = shares->total - (share->owner ? share->amount : 0);
	uint64_t most = others < shares->limit ? (shares->limit - others) / 2 : 0;

	if (share->owner == 0)
		return shares->root_limit;
	return most < shares->few && shares->total < shares->limit + shares->kept ? shares->few : most;
}

static uint64_t *total_of(struct shares *shares, const struct share *share)
{
	return share->owner ? &shares->total : &shares->root_total;
}

static void append(struct share *share, struct stake *stake)
{
	stake->older = share->newest;
	stake->newer = NULL;
	if (share->newest)
		share->newest->newer = stake;
	else
		share->oldest = stake;
	share->newest = stake;
}

static void unlink_stake(struct share *share, struct stake *stake)
{
	if (stake->older)
		stake->older->newer = stake->newer;
	else
		share->oldest = stake->newer;
	if (stake->newer)
		stake->newer->older = stake->older;
	else
		share->newest = stake->older;
}

static void add(struct shares *shares, struct share *share, uint64_t amount, struct stake *stake)
{
	share->amount += amount;
	share->count++;
	*total_of(shares, share) += amount;
	stake->share = share;
	stake->amount = amount;
	append(share, stake);
}

int shares_take(struct shares *shares, uint64_t owner, uint64_t amount, struct stake *stake)
{
	struct share *share = find_or_make(shares, owner);

	if (!share)
		return -ENOMEM;
	if (share->amount + amount <= most(shares, share)) {
		add(shares, share, amount, stake);
		return 0;
	}
	remove_if_empty(shares, share);
	return -ENFILE;
}

void shares_force(struct shares *shares, uint64_t owner, uint64_t amount, struct stake *stake)
{
	struct share *share = find_or_make(shares, owner);

	if (share)
		add(shares, share, amount, stake);
}

void shares_give(struct shares *shares, struct stake *stake)
{
	struct share *share = stake->share;

	if (!share)
		return;
	unlink_stake(share, stake);
	share->amount -= stake->amount;
	share->count--;
	*total_of(shares, share) -= stake->amount;
	share->waited = 0; /* something came back, so that waiting is worth it again */
	*stake = (struct stake){ .share = NULL };
	remove_if_empty(shares, share);
}

uint64_t shares_sum(const struct shares *shares)
{
	return shares->total + shares->root_total;
}

uint64_t shares_of(struct shares *shares, uint64_t owner)
{
	const struct share *share = *place_of(shares, owner);

	return share ? share->amount : 0;
}

bool shares_tell(struct shares *shares, uint64_t owner)
{
	struct share *share = *place_of(shares, owner);
	uint64_t now = monotonic_ms(), *told = share ? &share->told : &shares->told;

	if (*told && now - *told < TELL_EVERY_MS)
		return false;
	*told = now;
	return true;
}

bool shares_begin_wait(struct shares *shares, uint64_t owner)
{
	struct share *share = *place_of(shares, owner);

	if (!share || share->waiting || (share->waited && monotonic_ms() - share->waited < WAIT_AGAIN_MS))
		return false;
	share->waiting = true;
	return true;
}

void shares_end_wait(struct shares *shares, uint64_t owner, bool in_vain)
{
	struct share *share = *place_of(shares, owner);

	if (!share)
		return;
	share->waiting = false;
	share->waited = in_vain ? monotonic_ms() : 0;
}

void shares_use(struct stake *stake)
{
	struct share *share = stake->share;

	if (!share || share->newest == stake)
		return;
	unlink_stake(share, stake);
	append(share, stake);
}

static bool is_near(const struct shares *shares, const struct share *share)
{
	return share->amount > most(shares, share) / 2;
}

bool shares_near(const struct shares *shares, const struct stake *stake)
{
	return stake->share && is_near(shares, stake->share);
}

struct share *shares_next_near(const struct shares *shares, uint64_t from, uint64_t *ret_owner)
{
	struct share *next = NULL;

	for (size_t i = 0; i < SHARE_CHAINS; i++)
		for (struct share *share = shares->chains[i]; share; share = share->next)
			if (share->owner >= from && is_near(shares, share) && (!next || share->owner < next->owner))
				next = share;
	if (next)
		*ret_owner = next->owner;
	return next;
}

struct share *shares_largest(const struct shares *shares)
{
	struct share *largest = NULL;

	for (size_t i = 0; i < SHARE_CHAINS; i++)
		for (struct share *share = shares->chains[i]; share; share = share->next)
			if (!largest || share->amount > largest->amount)
				largest = share;
	return largest;
}

struct stake *share_oldest(const struct share *share)
{
	return share->oldest;
}

uint64_t share_count(const struct share *share)
{
	return share->count;
}
