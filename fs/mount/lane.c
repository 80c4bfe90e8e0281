/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane holds those above it. One that says who asks is kept for a while when nobody is in it any
 * more, since the same user asks again: so each request of a stream finds its lanes by one look.
 *
 * Errands are parked at their LANE_WHO, in the order in which they came. As all of them have the
 * same lanes, it is enough to look at lanes to find whose turn it is.
 */
#include "lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "lock.h"

#define CHAINS 64 /* a power of two */
#define NUMBER_CHAINS 256
#define KEPT 64

struct parked {
	unsigned count;
	size_t bytes;
};

struct lane {
	struct lane_key key;
	struct lane *above[LANE_SLOTS]; /* of a LANE_WHO, references; at LANE_WHO itself: NULL */
	unsigned running;
	unsigned holders; /* errands, parked ones too, or lanes beneath */
	struct parked parked[LANE_REFUSALS];
	TAILQ_HEAD(, errand) line; /* of a LANE_WHO: those that are parked */
	LIST_ENTRY(lane) in_chain;
	TAILQ_ENTRY(lane) in_list; /* `idle` while nobody holds it, `waiting` while the line is not empty */
};

struct lanes {
	size_t data_max;
	pthread_mutex_t lock; /* guards all below */
	LIST_HEAD(, lane) chains[CHAINS];
	LIST_HEAD(, errand) numbers[NUMBER_CHAINS]; /* those that are parked */
	TAILQ_HEAD(lane_list, lane) waiting, idle;
	unsigned idle_count;
	size_t data; /* bytes that are parked as LANE_REFUSES_DATA */
};

/* ---- lanes */

static unsigned chain_of(const struct lane_key *key)
{
	uint64_t mixed = (key->number ^ key->other << 7 ^ key->kind) * 0x9e3779b97f4a7c15ULL;

	return (unsigned)(mixed >> 58);
}

static bool is_lane(const struct lane *lane, const struct lane_key *key)
{
	return lane->key.kind == key->kind && lane->key.number == key->number && lane->key.other == key->other;
}

static struct lane *find_locked(struct lanes *lanes, const struct lane_key *key)
{
	struct lane *lane;

	LIST_FOREACH(lane, &lanes->chains[chain_of(key)], in_chain)
	if (is_lane(lane, key))
		return lane;
	return NULL;
}

/* NULL where the key is none, or there is no memory: then nothing bounds the errand there. */
static struct lane *make_locked(struct lanes *lanes, const struct lane_key *key)
{
	struct lane *lane = key->kind ? calloc(1, sizeof(*lane)) : NULL;

	if (!lane)
		return NULL;
	lane->key = *key;
	TAILQ_INIT(&lane->line);
	LIST_INSERT_HEAD(&lanes->chains[chain_of(key)], lane, in_chain);
	return lane;
}

static void remove_lane(struct lane *lane)
{
	LIST_REMOVE(lane, in_chain);
	free(lane);
}

static void free_lane_locked(struct lane *lane)
{
	for (int i = LANE_WHERE; i < LANE_SLOTS; i++)
		if (lane->above[i] && --lane->above[i]->holders == 0)
			remove_lane(lane->above[i]);
	remove_lane(lane);
}

static struct lane *hold_above_locked(struct lanes *lanes, const struct lane_key *key)
{
	struct lane *lane = key->kind ? find_locked(lanes, key) : NULL;

	if (!lane)
		lane = make_locked(lanes, key);
	if (lane)
		lane->holders++;
	return lane;
}

static void wake_idle_locked(struct lanes *lanes, struct lane *lane)
{
	TAILQ_REMOVE(&lanes->idle, lane, in_list);
	lanes->idle_count--;
}

static void hold_locked(struct lanes *lanes, struct errand *errand)
{
	const struct lane_key *keys = errand->keys;
	struct lane *lane = keys[LANE_WHO].kind ? find_locked(lanes, &keys[LANE_WHO]) : NULL;

	if (lane && !lane->holders)
		wake_idle_locked(lanes, lane);
	if (!lane && (lane = make_locked(lanes, &keys[LANE_WHO])))
		for (int i = LANE_WHERE; i < LANE_SLOTS; i++)
			lane->above[i] = hold_above_locked(lanes, &keys[i]);
	if (lane)
		lane->holders++;
	errand->lane = lane;
}

static void let_go_locked(struct lanes *lanes, struct errand *errand)
{
	struct lane *lane = errand->lane;

	if (!lane || --lane->holders)
		return;
	TAILQ_INSERT_TAIL(&lanes->idle, lane, in_list);
	if (++lanes->idle_count <= KEPT)
		return;
	lane = TAILQ_FIRST(&lanes->idle);
	wake_idle_locked(lanes, lane);
	free_lane_locked(lane);
}

static bool has_room(const struct lane *lane)
{
	bool has = !lane || lane->running < lane->key.limit;

	for (int i = LANE_WHERE; lane && i < LANE_SLOTS; i++)
		has = has && (!lane->above[i] || lane->above[i]->running < lane->above[i]->key.limit);
	return has;
}

/* Count an errand in its lanes, or no longer. */
static void count(struct lane *lane, int by)
{
	if (!lane)
		return;
	lane->running += (unsigned)by;
	for (int i = LANE_WHERE; i < LANE_SLOTS; i++)
		if (lane->above[i])
			lane->above[i]->running += (unsigned)by;
}

/* ---- what is parked */

static struct parked *payer_of(const struct errand *errand)
{
	struct lane *user = errand->lane->above[LANE_USER];

	return &(user ? user : errand->lane)->parked[errand->refusal];
}

static bool may_park_locked(const struct lanes *lanes, const struct errand *errand)
{
	const struct parked *parked = payer_of(errand);
	bool has_memory = parked->bytes + errand->bytes <= LANE_PARKED_BYTES;

	switch (errand->refusal) {
	case LANE_REFUSES_MANY:
		return has_memory && parked->count < LANE_PARKED_MAX;
	case LANE_REFUSES_DATA:
		return has_memory || lanes->data + errand->bytes <= lanes->data_max;
	case LANE_REFUSES_NEVER:
	case LANE_REFUSALS:
		break;
	}
	return true;
}

/* The kernel counts in twos. */
static unsigned number_chain_of(uint64_t unique)
{
	return (unsigned)(unique / 2 % NUMBER_CHAINS);
}

static void park_locked(struct lanes *lanes, struct errand *errand)
{
	struct lane *lane = errand->lane;
	struct parked *parked = payer_of(errand);

	if (TAILQ_EMPTY(&lane->line))
		TAILQ_INSERT_TAIL(&lanes->waiting, lane, in_list);
	TAILQ_INSERT_TAIL(&lane->line, errand, in_line);
	LIST_INSERT_HEAD(&lanes->numbers[number_chain_of(errand->unique)], errand, by_number);
	parked->count++;
	parked->bytes += errand->bytes;
	if (errand->refusal == LANE_REFUSES_DATA)
		lanes->data += errand->bytes;
}

static void unpark_locked(struct lanes *lanes, struct errand *errand)
{
	struct lane *lane = errand->lane;
	struct parked *parked = payer_of(errand);

	TAILQ_REMOVE(&lane->line, errand, in_line);
	if (TAILQ_EMPTY(&lane->line))
		TAILQ_REMOVE(&lanes->waiting, lane, in_list);
	LIST_REMOVE(errand, by_number);
	parked->count--;
	parked->bytes -= errand->bytes;
	if (errand->refusal == LANE_REFUSES_DATA)
		lanes->data -= errand->bytes;
}

/* ---- coming and going */

int lanes_enter(struct lanes *lanes, struct errand *errand)
{
	int r = 0;

	LOCKED (&lanes->lock) {
		hold_locked(lanes, errand);
		if (has_room(errand->lane)) {
			count(errand->lane, 1);
		} else if (may_park_locked(lanes, errand)) {
			park_locked(lanes, errand);
			r = LANE_PARKED;
		} else {
			let_go_locked(lanes, errand);
			r = -EAGAIN;
		}
	}
	return r;
}

int lanes_try(struct lanes *lanes, struct errand *errand)
{
	int r = LANE_PARKED;

	LOCKED (&lanes->lock) {
		hold_locked(lanes, errand);
		if (has_room(errand->lane)) {
			count(errand->lane, 1);
			r = 0;
		} else {
			let_go_locked(lanes, errand);
		}
	}
	return r;
}

/* The next parked errand that may be worked on, counted; or NULL. */
static struct errand *choose_locked(struct lanes *lanes)
{
	struct lane *best = NULL, *lane;
	struct errand *errand;

	TAILQ_FOREACH(lane, &lanes->waiting, in_list)
	if (has_room(lane) && (!best || lane->running < best->running))
		best = lane;
	if (!best)
		return NULL;
	errand = TAILQ_FIRST(&best->line);
	unpark_locked(lanes, errand);
	count(best, 1);
	return errand;
}

/* Each lane that was left has room for one. */
struct errand *lanes_leave(struct lanes *lanes, struct errand *errand)
{
	struct errand *first = NULL, **end = &first;

	LOCKED (&lanes->lock) {
		count(errand->lane, -1);
		let_go_locked(lanes, errand);
		while ((*end = choose_locked(lanes)))
			end = &(*end)->next;
	}
	return first;
}

static void take_locked(struct lanes *lanes, struct errand *errand)
{
	if (!errand)
		return;
	unpark_locked(lanes, errand);
	let_go_locked(lanes, errand);
}

struct errand *lanes_take(struct lanes *lanes, uint64_t unique)
{
	struct errand *errand = NULL;

	LOCKED (&lanes->lock) {
		LIST_FOREACH(errand, &lanes->numbers[number_chain_of(unique)], by_number)
		if (errand->unique == unique)
			break;
		take_locked(lanes, errand);
	}
	return errand;
}

struct errand *lanes_take_any(struct lanes *lanes)
{
	struct errand *errand = NULL;

	LOCKED (&lanes->lock) {
		if (!TAILQ_EMPTY(&lanes->waiting))
			errand = TAILQ_FIRST(&TAILQ_FIRST(&lanes->waiting)->line);
		take_locked(lanes, errand);
	}
	return errand;
}

int lanes_new(size_t data_max, struct lanes **ret_lanes)
{
	struct lanes *lanes = calloc(1, sizeof(*lanes));

	if (!lanes)
		return -ENOMEM;
	pthread_mutex_init(&lanes->lock, NULL);
	lanes->data_max = data_max;
	TAILQ_INIT(&lanes->waiting);
	TAILQ_INIT(&lanes->idle);
	*ret_lanes = lanes;
	return 0;
}

void lanes_free(struct lanes *lanes)
{
	struct lane *lane;

	if (!lanes)
		return;
	LOCKED (&lanes->lock) {
		while ((lane = TAILQ_FIRST(&lanes->idle))) {
			wake_idle_locked(lanes, lane);
			free_lane_locked(lane);
		}
	}
	pthread_mutex_destroy(&lanes->lock);
	free(lanes);
}
