/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a directory held at one moment. A reader of a listing sees each name exactly once, even
 * while the directory changes (rm -r), and names that lie in no real directory can be added to it.
 *
 * A position is what readdir(3) goes on from. It is computed from the name before it, so it means
 * the same in another listing of the same directory: the next daemon makes one for a reader who is
 * halfway through.
 *
 * A listing is used by one thread at a time.
 */
#ifndef REVERTFS_FILES_LISTING_H
#define REVERTFS_FILES_LISTING_H

#include <stdint.h>
#include <sys/types.h>

struct listing_entry {
	char *name;
	uint64_t inode;
	mode_t type;    /* S_IFREG and the like; 0 when the filesystem does not say */
	off_t position; /* the one behind the entry; set by listing_place() */
};

struct listing {
	struct listing_entry *entries;
	size_t count, room;
	size_t name_bytes; /* of all names, or more where some were repeated */
	char *names;       /* once it is placed: all of them; NULL: each entry owns its name */
};

struct listing *listing_new(void);          /* NULL when out of memory */
void listing_free(struct listing *listing); /* NULL is fine */
void listing_freep(struct listing **listing);
size_t listing_bytes(const struct listing *listing); /* how much memory it takes */

/* Copies the name. 0 or -ENOMEM. */
int listing_add(struct listing *listing, const char *name, uint64_t inode, mode_t type);

/* Sort by name, and drop repeated names. */
void listing_sort(struct listing *listing);

/* The entry of this name in a sorted listing, or NULL. Borrowed. */
struct listing_entry *listing_find(const struct listing *listing, const char *name);

/*
 * listing_place() gives each entry its position, which is above 0, and sorts by it; from then on
 * listing_behind() returns the index of the first entry behind a position, `count` if there is
 * none. Nothing may be added then.
 */
void listing_place(struct listing *listing);
size_t listing_behind(const struct listing *listing, off_t position);

/*
 * Add all entries of a real directory but "." and "..". It is read from its start, which moves the
 * descriptor's position. 0 or a negative errno.
 */
int listing_read(struct listing *listing, int directory_fd);

#endif
