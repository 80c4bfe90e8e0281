/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash table of handles by number, under one lock that is held for a few instructions. Numbers count up, so the
 * low bits spread them evenly without any hashing.
 */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>

#define CHAINS 4096 /* a power of two; a host has a few open files for each of its guests */

struct handle_table {
	void (*destroy)(void *context, struct handle *handle);
	void *context;
	pthread_mutex_t lock;
	uint64_t next_number;
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

uint64_t handle_add(struct handle_table *table, struct handle *handle)
{
	struct handle **place;

	pthread_mutex_lock(&table->lock);
	handle->number = table->next_number++;
	handle->references = 1;
	place = chain(table, handle->number);
	handle->next = *place;
	*place = handle;
	pthread_mutex_unlock(&table->lock);
	return handle->number;
}

static struct handle **find(struct handle_table *table, uint64_t number)
{
	struct handle **place = chain(table, number);

	while (*place && (*place)->number != number)
		place = &(*place)->next;
	return place;
}

struct handle *handle_get(struct handle_table *table, uint64_t number)
{
	struct handle *handle;

	pthread_mutex_lock(&table->lock);
	handle = *find(table, number);
	if (handle)
		handle->references++;
	pthread_mutex_unlock(&table->lock);
	return handle;
}

void handle_put(struct handle_table *table, struct handle *handle)
{
	bool last;

	if (!handle)
		return;
	pthread_mutex_lock(&table->lock);
	last = --handle->references == 0;
	pthread_mutex_unlock(&table->lock);
	if (last)
		destroy(table, handle);
}

void handle_remove(struct handle_table *table, uint64_t number)
{
	struct handle **place, *handle;

	pthread_mutex_lock(&table->lock);
	place = find(table, number);
	handle = *place;
	if (handle)
		*place = handle->next;
	pthread_mutex_unlock(&table->lock);
	handle_put(table, handle);
}

int handle_table_new(void (*destroy_one)(void *context, struct handle *handle), void *context,
		     struct handle_table **ret_table)
{
	struct handle_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->destroy = destroy_one;
	table->context = context;
	table->next_number = 1;
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
