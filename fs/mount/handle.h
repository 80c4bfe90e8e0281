/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open descriptors of the mount: the numbers that the kernel hands back with every read and write,
 * and what each stands for.
 *
 * A handle's number comes from a counter, is never used twice, and says nothing of our memory, so
 * that it can outlive the daemon that gave it: each is written down for the next one (handover.h)
 * before the kernel is told.
 */
#ifndef REVERTFS_MOUNT_HANDLE_H
#define REVERTFS_MOUNT_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "listing.h"
#include "node.h"

enum handle_kind {
	HANDLE_FILE,      /* a file of the images directory */
	HANDLE_DIRECTORY, /* any directory */
	HANDLE_SCRATCH,
	HANDLE_VIEW,
	HANDLE_CONTROL,
	HANDLE_TEXT, /* a status, as it was when it was opened */
};

/* Set before handle_add() and never changed, but for what `lock` guards. */
struct handle {
	enum handle_kind kind;
	struct node *node; /* a reference */
	int fd;            /* the file to read and write, or -1; HANDLE_SCRATCH: the scratch's, not ours */
	int flags;         /* of open(2) */
	uint64_t asked_by; /* the request that it was made for, with which it is found again where that is sent again */
	bool writer;
	bool entered;            /* counted with passthrough_enter() */
	struct scratch *scratch; /* HANDLE_SCRATCH: a reference, counted with scratch_open() */
	struct view *view;       /* HANDLE_VIEW: the node's; `fd` came from view_open() */

	pthread_mutex_t lock;
	struct listing *listing; /* HANDLE_DIRECTORY: as it was when it was read from the start */
	char *text;              /* HANDLE_TEXT, HANDLE_CONTROL: what is to be read */
	size_t text_length;
	off_t text_start;        /* HANDLE_CONTROL: where in the file the answer begins */
	bool text_start_is_open; /* and whether the next read may still decide that */

	/* The table's. */
	uint64_t number;
	struct handover_handle *noted;
	struct handover_answer *handover_answer;
	unsigned references;
	struct handle *next;
};

struct handle_table;

/*
 * `destroy` gives back what a handle holds, not the handle itself; it is called without a lock
 * held. `handover` (borrowed) is where handles are written down.
 */
int handle_table_new(void (*destroy)(void *context, struct handle *handle), void *context, struct handover *handover,
		     struct handle_table **ret_table);
void handle_table_free(struct handle_table *table); /* with all that is still open; NULL is fine */

struct handle *handle_new(enum handle_kind kind); /* NULL when out of memory */
void handle_free(struct handle *handle); /* one that was never added, with its text and listing; NULL is fine */

/* The handle becomes the table's; the number is what the kernel gets. */
uint64_t handle_add(struct handle_table *table, struct handle *handle);

/* The same with the number that an earlier daemon gave. */
void handle_restore(struct handle_table *table, struct handle *handle, struct handover_handle *noted);

/* Close what was opened for a request whose answer never reached the kernel. */
void handle_take_back(struct handle_table *table, uint64_t asked_by);

/*
 * The text of a HANDLE_CONTROL, an answer, is written down too, as far as there is room; the caller
 * holds handle->lock. What an earlier daemon wrote down for this number becomes the text; false
 * when there is nothing.
 */
void handle_note_answer(struct handle_table *table, struct handle *handle);
bool handle_recall_answer(struct handle_table *table, struct handle *handle);

unsigned handle_count(struct handle_table *table);

/* With a reference, or NULL. */
struct handle *handle_get(struct handle_table *table, uint64_t number);
void handle_put(struct handle_table *table, struct handle *handle); /* NULL is fine */

/* The kernel has closed it: gone as soon as no request uses it. */
void handle_remove(struct handle_table *table, uint64_t number);

#endif
