/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of handles by number. Numbers count up, so their low bits spread them evenly without
 * any hashing.
 *
 * One lock guards the chains, the numbers and the reference counts. Under it only the handover's
 * lock is taken, and no system call is made; and the lock of a handle that is to lose its listing,
 * if it is free at that moment: where somebody has it, he reads the listing.
 */
#include "handle.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"
#include "log.h"
#include "util.h"

#define CHAINS 4096 /* a power of two; a host has a few open files for each of its guests */

struct handle_table {
	void (*destroy)(void *context, struct handle *handle);
	void *context;
	struct handover *handover;
	pthread_mutex_t lock;
	struct shares files, disks, texts, listings;
	uint64_t listings_limit;
	uint64_t next_number;
	unsigned count;
	struct handle *chains[CHAINS];
};

static struct handle **chain(struct handle_table *table, uint64_t number)
{
	return &table->chains[number & (CHAINS - 1)];
}

static struct shares *shares_for(struct handle_table *table, bool counts_to_disk)
{
	return counts_to_disk ? &table->disks : &table->files;
}

void handle_free(struct handle_table *table, struct handle *handle)
{
	if (!handle)
		return;
	LOCKED (&table->lock) {
		shares_give(shares_for(table, handle->counts_to_disk), &handle->stake);
		shares_give(&table->texts, &handle->text_stake);
		shares_give(&table->listings, &handle->listing_stake);
	}
	listing_free(handle->listing);
	free(handle->text);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

static void destroy(struct handle_table *table, struct handle *handle)
{
	table->destroy(table->context, handle);
	handover_give(table->handover, HANDOVER_ANSWER, handle->handover_answer);
	handle_free(table, handle);
}

static struct handle *allocate(enum handle_kind kind, uid_t uid)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->kind = kind;
	handle->fd = -1;
	handle->opener.uid = uid;
	pthread_mutex_init(&handle->lock, NULL);
	return handle;
}

static void tell_refused(uid_t uid, const char *disk, uint64_t count)
{
	if (disk)
		log_warning(
			"disk '%s': user %u has it open %llu times, as often as one may now: opening it again is refused (ENFILE)",
			disk, uid, (unsigned long long)count);
	else
		log_warning("user %u has %llu open files, as many as one may now: opening more is refused (ENFILE)",
			    uid, (unsigned long long)count);
}

int handle_new(struct handle_table *table, enum handle_kind kind, uid_t uid, const char *disk, bool inherited,
	       struct handle **ret_handle)
{
	struct shares *shares = shares_for(table, disk != NULL);
	uint64_t owner = disk ? share_of_disk(disk, uid) : share_of_user(uid), count = 0;
	struct handle *handle = allocate(kind, uid);
	bool tell = false;
	int r = 0;

	if (!handle)
		return -ENOMEM;
	handle->counts_to_disk = disk != NULL;
	LOCKED (&table->lock) {
		if (inherited)
			shares_force(shares, owner, 1, &handle->stake);
		else
			r = shares_take(shares, owner, 1, &handle->stake);
		tell = r == -ENFILE && shares_tell(shares, owner);
		count = shares_of(shares, owner);
	}
	if (tell)
		tell_refused(uid, disk, count);
	if (r < 0)
		handle_free(table, handle);
	else
		*ret_handle = handle;
	return r;
}

int handle_set_text(struct handle_table *table, struct handle *handle, char *text, bool must)
{
	uint64_t owner = share_of_user(handle->opener.uid), length = text ? strlen(text) : 0;
	bool tell = false;
	int r = text || must ? 0 : -ENOMEM;

	LOCKED (&table->lock) {
		shares_give(&table->texts, &handle->text_stake);
		if (r == 0)
			r = shares_take(&table->texts, owner, length, &handle->text_stake);
		if (r < 0 && must) {
			shares_force(&table->texts, owner, length, &handle->text_stake);
			r = 0;
		}
		tell = r == -ENFILE && shares_tell(&table->texts, owner);
	}
	if (tell)
		log_warning("user %u has the status open too often: opening it again is refused (ENFILE)",
			    handle->opener.uid);
	free(handle->text);
	handle->text = r < 0 ? NULL : text;
	handle->text_length = r < 0 ? 0 : length;
	if (r < 0)
		free(text);
	return r;
}

/* ---- listings */

static struct handle *handle_of_stake(struct stake *stake)
{
	return (struct handle *)(void *)((char *)stake - offsetof(struct handle, listing_stake));
}

/*
 * Take the listing away that was read least recently, of the user whose listings are most; not that
 * of `spared`. NULL when there is none whose reader does not have the lock just now.
 */
static struct listing *take_oldest_locked(struct handle_table *table, const struct handle *spared)
{
	const struct share *share = shares_largest(&table->listings);
	struct listing *listing = NULL;

	for (uint64_t left = share ? share_count(share) : 0; left && !listing; left--) {
		struct handle *handle = handle_of_stake(share_oldest(share));

		shares_use(&handle->listing_stake);
		if (handle == spared || pthread_mutex_trylock(&handle->lock) != 0)
			continue;
		listing = steal_pointer(&handle->listing);
		shares_give(&table->listings, &handle->listing_stake);
		pthread_mutex_unlock(&handle->lock);
	}
	return listing;
}

static struct listing *take_one_too_many(struct handle_table *table, const struct handle *spared)
{
	struct listing *listing = NULL;

	LOCKED (&table->lock)
		if (shares_sum(&table->listings) > table->listings_limit)
			listing = take_oldest_locked(table, spared);
	return listing;
}

void handle_set_listing(struct handle_table *table, struct handle *handle, struct listing *listing)
{
	struct listing *other;

	LOCKED (&table->lock) {
		shares_give(&table->listings, &handle->listing_stake);
		shares_force(&table->listings, share_of_user(handle->opener.uid), listing_bytes(listing),
			     &handle->listing_stake);
	}
	listing_free(handle->listing);
	handle->listing = listing;
	while ((other = take_one_too_many(table, handle)))
		listing_free(other);
}

void handle_uses_listing(struct handle_table *table, struct handle *handle)
{
	LOCKED (&table->lock)
		shares_use(&handle->listing_stake);
}

/* ---- the table */

static void link_handle_locked(struct handle_table *table, struct handle *handle, uint64_t number)
{
	struct handle **place = chain(table, number);

	handle->number = number;
	handle->references = 1;
	handle->next = *place;
	*place = handle;
	table->count++;
}

/* Take a slot and fill it, all but its number. */
static void note_down(struct handle_table *table, struct handle *handle)
{
	struct handover_handle *noted = handover_take(table->handover, HANDOVER_HANDLE);

	if (!noted)
		return;
	noted->opened_by = handle->asked_by;
	noted->node = handle->node->id;
	noted->kind = handle->kind;
	noted->flags = handle->flags;
	noted->uid = handle->opener.uid;
	noted->gid = handle->opener.gid;
	noted->vouched = handle->onlooker.seen;
	noted->group_count = handle->opener.group_count;
	memcpy(noted->groups, handle->opener.groups, sizeof(noted->groups));
	handle->noted = noted;
}

uint64_t handle_add(struct handle_table *table, struct handle *handle)
{
	uint64_t number = 0;

	note_down(table, handle);
	LOCKED (&table->lock) {
		number = table->next_number++;
		link_handle_locked(table, handle, number);
		if (handle->noted)
			handover_publish(&handle->noted->number, number);
	}
	return number;
}

void handle_restore(struct handle_table *table, struct handle *handle, struct handover_handle *noted)
{
	handle->noted = noted;
	handle->asked_by = noted->opened_by;
	handle->opener.uid = noted->uid;
	handle->opener.gid = noted->gid;
	handle->opener.group_count =
		noted->group_count < HANDOVER_GROUPS_MAX ? noted->group_count : HANDOVER_GROUPS_MAX;
	memcpy(handle->opener.groups, noted->groups, sizeof(noted->groups));
	LOCKED (&table->lock)
		link_handle_locked(table, handle, noted->number);
}

static struct handle **find_locked(struct handle_table *table, uint64_t number)
{
	struct handle **place = chain(table, number);

	while (*place && (*place)->number != number)
		place = &(*place)->next;
	return place;
}

struct handle *handle_get(struct handle_table *table, uint64_t number)
{
	struct handle *handle = NULL;

	LOCKED (&table->lock) {
		handle = *find_locked(table, number);
		if (handle)
			handle->references++;
	}
	return handle;
}

void handle_put(struct handle_table *table, struct handle *handle)
{
	bool last = false;

	if (!handle)
		return;
	LOCKED (&table->lock)
		last = --handle->references == 0;
	if (last)
		destroy(table, handle);
}

/* Remove a handle from the table and from the handover. The caller gets the table's reference. */
static void unlink_locked(struct handle_table *table, struct handle **place)
{
	struct handle *handle = *place;

	*place = handle->next;
	table->count--;
	handover_give(table->handover, HANDOVER_HANDLE, handle->noted);
	handle->noted = NULL;
}

/* The slot is invalid while it is changed, so the next daemon never finds half an answer. */
void handle_note_answer(struct handle_table *table, struct handle *handle)
{
	struct handover_answer *noted = handle->handover_answer;

	if (!noted)
		noted = handle->handover_answer = handover_take(table->handover, HANDOVER_ANSWER);
	if (!noted)
		return;
	handover_publish(&noted->handle, 0);
	if (!handle->text || handle->text_length > sizeof(noted->text))
		return;
	memcpy(noted->text, handle->text, handle->text_length);
	noted->length = (uint32_t)handle->text_length;
	noted->start = handle->text_start;
	handover_publish(&noted->handle, handle->number);
}

struct search {
	uint64_t number;
	struct handover_answer *found;
};

static void compare(void *context, void *slot)
{
	struct search *search = context;
	struct handover_answer *noted = slot;

	if (noted->handle == search->number)
		search->found = noted;
}

bool handle_recall_answer(struct handle_table *table, struct handle *handle)
{
	struct search search = { .number = handle->number };
	struct handover_answer *noted;

	handover_visit(table->handover, HANDOVER_ANSWER, compare, &search);
	noted = search.found;
	if (!noted || noted->length > sizeof(noted->text) || noted->start < 0)
		return false;
	handle_set_text(table, handle, strndup(noted->text, noted->length), true);
	handle->text_start = noted->start;
	handle->text_start_is_open = true;
	handle->handover_answer = noted;
	return handle->text != NULL;
}

void handle_vouch(struct handle_table *table, struct handle *handle, uint64_t unique)
{
	LOCKED (&table->lock)
		if (handle->noted)
			handle->noted->vouched = unique;
}

bool handle_has_vouched(struct handle_table *table, const struct handle *handle, uint64_t unique)
{
	bool has = false;

	LOCKED (&table->lock)
		has = handle->noted && handle->noted->vouched == unique;
	return has;
}

void handle_remove(struct handle_table *table, uint64_t number)
{
	struct handle *handle = NULL;

	LOCKED (&table->lock) {
		struct handle **place = find_locked(table, number);

		handle = *place;
		if (handle)
			unlink_locked(table, place);
	}
	handle_put(table, handle);
}

static struct handle *take_asked_by_locked(struct handle_table *table, uint64_t asked_by)
{
	struct handle *handle = NULL;

	for (size_t i = 0; i < CHAINS && !handle; i++) {
		struct handle **place = &table->chains[i];

		while (*place && (*place)->asked_by != asked_by)
			place = &(*place)->next;
		handle = *place;
		if (handle)
			unlink_locked(table, place);
	}
	return handle;
}

void handle_take_back(struct handle_table *table, uint64_t asked_by)
{
	struct handle *handle = NULL;

	LOCKED (&table->lock)
		handle = take_asked_by_locked(table, asked_by);
	handle_put(table, handle);
}

unsigned handle_count(struct handle_table *table)
{
	unsigned count = 0;

	LOCKED (&table->lock)
		count = table->count;
	return count;
}

int handle_table_new(void (*destroy_one)(void *context, struct handle *handle), void *context,
		     struct handover *handover, const struct limits *limits, struct handle_table **ret_table)
{
	struct handle_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->destroy = destroy_one;
	table->context = context;
	table->handover = handover;
	shares_init(&table->files, limits->handles, limits->root_handles);
	shares_init(&table->disks, limits->disk_handles, 0);
	shares_keep(&table->disks, limits->kept_disk_handles, LIMITS_FEW);
	shares_init(&table->texts, limits->texts, limits->root_texts);
	shares_init(&table->listings, 0, 0);
	table->listings_limit = limits->listings;
	table->next_number = handover_first_number(handover);
	pthread_mutex_init(&table->lock, NULL);
	*ret_table = table;
	return 0;
}

void handle_table_free(struct handle_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < CHAINS; i++) {
		struct handle *next;

		for (struct handle *handle = table->chains[i]; handle; handle = next) {
			next = handle->next;
			destroy(table, handle);
		}
	}
	shares_destroy(&table->files);
	shares_destroy(&table->disks);
	shares_destroy(&table->texts);
	shares_destroy(&table->listings);
	pthread_mutex_destroy(&table->lock);
	free(table);
}
