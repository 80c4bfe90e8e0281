/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a directory held at one moment, so that a directory that changes while it is being read (rm
 * -r) neither repeats nor skips a name, and names that lie in no real directory can be mixed in.
 *
 * A position comes from the name that stands before it, so that it means the same in another
 * listing of the same directory: the one that the next daemon makes for somebody who was reading.
 */
#ifndef REVERTFS_FILES_LISTING_H
#define REVERTFS_FILES_LISTING_H

#include <stdint.h>
#include <sys/types.h>

struct listing_entry {
	char *name;
	uint64_t inode;
	mode_t type;    /* S_IFREG and the like; 0 when the filesystem does not say */
	off_t position; /* behind it; once the listing has been placed */
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

/*
 * Give each entry its position, and sort by it; and the index of the first entry behind a position.
 */
void listing_place(struct listing *listing);
size_t listing_behind(const struct listing *listing, off_t position);

/* All of a real directory but "." and "..", from its start; the descriptor's position is used. */
int listing_read(struct listing *listing, int directory_fd);

#endif
