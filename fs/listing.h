/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a directory held at one moment. Readers get positions in it, so that a directory that changes while it is being
 * read (rm -r) neither repeats nor skips a name, and names that lie in no real directory can be mixed in.
 */
#ifndef REVERTFS_LISTING_H
#define REVERTFS_LISTING_H

#include <stdint.h>
#include <sys/types.h>

struct listing_entry {
	char *name;
	uint64_t inode;
	mode_t type; /* S_IFREG and the like; 0 when the filesystem does not say */
};

struct listing {
	struct listing_entry *entries;
	size_t count, room;
};

struct listing *listing_new(void);          /* NULL when out of memory */
void listing_free(struct listing *listing); /* NULL is fine */
void listing_freep(struct listing **listing);

/* 0 or -ENOMEM. */
int listing_add(struct listing *listing, const char *name, uint64_t inode, mode_t type);

/* By name, with each name once. */
void listing_sort(struct listing *listing);

/* An entry of a sorted listing, or NULL. */
struct listing_entry *listing_find(const struct listing *listing, const char *name);

/* All of a real directory but "." and "..", from its start; the descriptor's position is used. */
int listing_read(struct listing *listing, int directory_fd);

#endif
