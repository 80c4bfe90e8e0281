/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An array of entries, filled by getdents64(2).
 */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

#define READ_SIZE 65536

struct listing *listing_new(void)
{
	return calloc(1, sizeof(struct listing));
}

void listing_free(struct listing *listing)
{
	if (!listing)
		return;
	for (size_t i = 0; i < listing->count && !listing->names; i++)
		free(listing->entries[i].name);
	free(listing->names);
	free(listing->entries);
	free(listing);
}

void listing_freep(struct listing **listing)
{
	listing_free(*listing);
}

size_t listing_bytes(const struct listing *listing)
{
	return sizeof(*listing) + listing->room * sizeof(*listing->entries) + listing->name_bytes;
}

int listing_add(struct listing *listing, const char *name, uint64_t inode, mode_t type)
{
	struct listing_entry *entry;

	if (listing->count == listing->room) {
		size_t room = listing->room ? listing->room * 2 : 32;
		struct listing_entry *larger = reallocarray(listing->entries, room, sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		listing->entries = larger;
		listing->room = room;
	}
	entry = &listing->entries[listing->count];
	entry->name = strdup(name);
	if (!entry->name)
		return -ENOMEM;
	entry->inode = inode;
	entry->type = type;
	listing->count++;
	listing->name_bytes += strlen(name) + 1;
	return 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct listing_entry *)a)->name, ((const struct listing_entry *)b)->name);
}

void listing_sort(struct listing *listing)
{
	size_t kept = 0;

	if (listing->count == 0)
		return;
	qsort(listing->entries, listing->count, sizeof(*listing->entries), compare);
	for (size_t i = 1; i < listing->count; i++) {
		if (compare(&listing->entries[kept], &listing->entries[i]) == 0)
			free(listing->entries[i].name);
		else
			listing->entries[++kept] = listing->entries[i];
	}
	listing->count = kept + 1;
}

struct listing_entry *listing_find(const struct listing *listing, const char *name)
{
	const struct listing_entry like = { .name = (char *)(uintptr_t)name };

	if (listing->count == 0)
		return NULL;
	return bsearch(&like, listing->entries, listing->count, sizeof(like), compare);
}

/*
 * Half of the hash, since lseek(2) takes no negative position. 0 is the start, 1 and 2 are the
 * dots'.
 */
static off_t position_of(const char *name)
{
	uint64_t half = text_hash(name) >> 1;

	if (strcmp(name, ".") == 0)
		return 1;
	if (strcmp(name, "..") == 0)
		return 2;
	return (off_t)(half > 2 ? half : 3);
}

static int compare_positions(const void *a, const void *b)
{
	const struct listing_entry *x = a, *y = b;

	return x->position < y->position ? -1 : x->position > y->position ? 1 : strcmp(x->name, y->name);
}

/*
 * All names in one piece of memory, and no room for more: thousands of small pieces take twice as
 * much, and leave holes. Without memory for it all stays as it is.
 */
static void pack(struct listing *listing)
{
	struct listing_entry *entries;
	char *names = malloc(listing->name_bytes), *end = names;

	if (!names)
		return;
	for (size_t i = 0; i < listing->count; i++) {
		size_t size = strlen(listing->entries[i].name) + 1;

		memcpy(end, listing->entries[i].name, size);
		free(listing->entries[i].name);
		listing->entries[i].name = end;
		end += size;
	}
	listing->names = names;
	entries = reallocarray(listing->entries, listing->count, sizeof(*entries));
	if (entries) {
		listing->entries = entries;
		listing->room = listing->count;
	}
}

void listing_place(struct listing *listing)
{
	if (!listing->count)
		return;
	for (size_t i = 0; i < listing->count; i++)
		listing->entries[i].position = position_of(listing->entries[i].name);
	qsort(listing->entries, listing->count, sizeof(*listing->entries), compare_positions);
	for (size_t i = 1; i < listing->count; i++)
		if (listing->entries[i].position <= listing->entries[i - 1].position)
			listing->entries[i].position = listing->entries[i - 1].position + 1;
	pack(listing);
}

size_t listing_behind(const struct listing *listing, off_t position)
{
	size_t low = 0, high = listing->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (listing->entries[middle].position > position)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int add_records(struct listing *listing, const char *records, size_t length)
{
	const char *end = records + length;

	while (records < end) {
		const struct dirent64 *record = (const void *)records;
		int r = 0;

		if (strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0)
			r = listing_add(listing, record->d_name, record->d_ino, DTTOIF(record->d_type));
		if (r < 0)
			return r;
		records += record->d_reclen;
	}
	return 0;
}

int listing_read(struct listing *listing, int directory_fd)
{
	CLEANUP(freep) char *records = malloc(READ_SIZE);

	if (!records)
		return -ENOMEM;
	if (lseek(directory_fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		ssize_t n = getdents64(directory_fd, records, READ_SIZE);
		int r;

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		r = add_records(listing, records, (size_t)n);
		if (r < 0)
			return r;
	}
}
