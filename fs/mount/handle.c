/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of handles by number. Numbers count up, so their low bits spread them evenly without
 * any hashing.
 *
 * One lock guards the chains, the numbers and the reference counts. Under it only the handover's
 * lock is taken, and no system call is made.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lock.h"

#define CHAINS 4096 /* a power of two; a host has a few open files for each of its guests */

struct handle_table {
	void (*destroy)(void *context, struct handle *handle);
	void *context;
	struct handover *handover;
	pthread_mutex_t lock;
	uint64_t next_number;
	unsigned count;
	struct handle *chains[CHAINS];
};

static struct handle **chain(struct handle_table *table, uint64_t number)
{
	return &table->chains[number & (CHAINS - 1)];
}

void handle_free(struct handle *handle)
{
	if (!handle)
		return;
	listing_free(handle->listing);
	free(handle->text);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

static void destroy(struct handle_table *table, struct handle *handle)
{
	table->destroy(table->context, handle);
	handover_give(table->handover, HANDOVER_ANSWER, handle->handover_answer);
	handle_free(handle);
}

struct handle *handle_new(enum handle_kind kind)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return NULL;
	handle->kind = kind;
	handle->fd = -1;
	pthread_mutex_init(&handle->lock, NULL);
	return handle;
}

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
	if (!noted || noted->length > sizeof(noted->text))
		return false;
	handle->text = strndup(noted->text, noted->length);
	handle->text_length = handle->text ? noted->length : 0;
	handle->text_start = noted->start;
	handle->text_start_is_open = true;
	handle->handover_answer = noted;
	return handle->text != NULL;
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
		     struct handover *handover, struct handle_table **ret_table)
{
	struct handle_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->destroy = destroy_one;
	table->context = context;
	table->handover = handover;
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
	pthread_mutex_destroy(&table->lock);
	free(table);
}
