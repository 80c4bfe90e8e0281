/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handles: open descriptors of the mount, by the numbers that the kernel sends with every read and
 * write.
 *
 * A handle's number comes from a counter, is never used twice, and is no address, so it can outlive
 * the daemon that gave it: each handle is written down for the next daemon (handover.h) before the
 * kernel gets its number.
 *
 * Each is counted (share.h): that of a file or directory to the user who opened it, that of a disk
 * or view to the user and the disk, so that one guest does not open what another needs, though all
 * may be one user. The texts that open status and control files keep are counted to the user in
 * bytes, and so are the listings of directories; of these the least recently read go where they are
 * too much, and are made again.
 */
#ifndef REVERTFS_MOUNT_HANDLE_H
#define REVERTFS_MOUNT_HANDLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "caller.h"
#include "listing.h"
#include "mount_limits.h"
#include "node.h"
#include "share.h"

enum handle_kind {
	HANDLE_FILE,      /* a file of the images directory */
	HANDLE_DIRECTORY, /* any directory */
	HANDLE_SCRATCH,
	HANDLE_VIEW,
	HANDLE_CONTROL,
	HANDLE_TEXT, /* a status, as it was when it was opened */
};

/*
 * Set before handle_add() and not changed later, except for what `lock` or the table's lock guards.
 */
struct handle {
	enum handle_kind kind;
	struct node *node;      /* a reference */
	int fd;                 /* the file to read and write, or -1; HANDLE_SCRATCH: borrowed from the scratch */
	int flags;              /* of open(2) */
	struct identity opener; /* the groups: of a HANDLE_CONTROL alone */
	uint64_t asked_by;      /* the OPEN or CREATE it was made for: it is found by that if the request comes again */
	bool writer;
	bool counts_to_disk;      /* not to its user (handle_new()) */
	bool entered;             /* passthrough_enter() was called for it */
	struct scratch *scratch;  /* HANDLE_SCRATCH: a reference; scratch_open() has counted the handle */
	struct view *view;        /* HANDLE_VIEW: borrowed from the node, and pinned; `fd` is its own */
	struct onlooker onlooker; /* HANDLE_SCRATCH, HANDLE_VIEW: what is read is read between begin and end of it */

	pthread_mutex_t lock;    /* guards from here to the next blank line */
	struct listing *listing; /* HANDLE_DIRECTORY: made whenever it is read from the start */
	char *text;              /* HANDLE_TEXT, HANDLE_CONTROL: what reads return */
	size_t text_length;
	off_t text_start;        /* HANDLE_CONTROL: the offset in the file at which the text begins */
	bool text_start_is_open; /* ... may still be changed by the next read: tree_admin.c */

	/* Guarded by the table's lock. */
	struct stake stake;         /* what is paid for it */
	struct stake text_stake;    /* ... for `text` */
	struct stake listing_stake; /* ... for `listing` */
	uint64_t number;
	struct handover_handle *noted;
	struct handover_answer *handover_answer;
	unsigned references;
	struct handle *next;
};

struct handle_table;

/*
 * `destroy` releases what a handle holds, not the handle itself; it is called without a lock held.
 * Handles are written down in `handover` (borrowed).
 */
int handle_table_new(void (*destroy)(void *context, struct handle *handle), void *context, struct handover *handover,
		     const struct limits *limits, struct handle_table **ret_table);
void handle_table_free(struct handle_table *table); /* with all that is still open; NULL is fine */

/*
 * A handle for a user, on a disk or a view of this name, or on something else (NULL). -ENFILE when
 * that would be one too many, which is told in the log; one that an earlier daemon had
 * (`inherited`) is not refused.
 */
int handle_new(struct handle_table *table, enum handle_kind kind, uid_t uid, const char *disk, bool inherited,
	       struct handle **ret_handle);

/* One that was never added, with its text and listing. NULL is fine. */
void handle_free(struct handle_table *table, struct handle *handle);

/* Give the handle to the table. Returns its number, for the kernel. */
uint64_t handle_add(struct handle_table *table, struct handle *handle);

/* The same with the number that an earlier daemon gave and wrote down in `noted`. */
void handle_restore(struct handle_table *table, struct handle *handle, struct handover_handle *noted);

/* Close the handle, if there is one, of a request whose answer never reached the kernel. */
void handle_take_back(struct handle_table *table, uint64_t asked_by);

/*
 * An answer, the text of a HANDLE_CONTROL, is written down too, if there is room for it.
 * handle_note_answer() wants handle->lock held. handle_recall_answer() makes the answer that an
 * earlier daemon wrote down for this number the handle's text; false when there is none.
 */
void handle_note_answer(struct handle_table *table, struct handle *handle);
bool handle_recall_answer(struct handle_table *table, struct handle *handle);

/*
 * Of a handle whose opener was not noted: the write of this number began before an upgrade.
 * handle_vouch() notes that for later daemons; handle_has_vouched() says whether one has.
 */
void handle_vouch(struct handle_table *table, struct handle *handle, uint64_t unique);
bool handle_has_vouched(struct handle_table *table, const struct handle *handle, uint64_t unique);

/*
 * Give the handle a text, which is consumed, in place of the one that it has. -ENOMEM when there is
 * none (NULL); -ENFILE when the user's texts would be too much. With `must` that is no reason: it
 * is the answer of a command that has been done.
 */
int handle_set_text(struct handle_table *table, struct handle *handle, char *text, bool must);

/*
 * Give the handle a listing, which is consumed, in place of the one that it has; other handles may
 * lose theirs for it. And note that it is read. Both want handle->lock held.
 */
void handle_set_listing(struct handle_table *table, struct handle *handle, struct listing *listing);
void handle_uses_listing(struct handle_table *table, struct handle *handle);

unsigned handle_count(struct handle_table *table);

/* The handle of a number, with a reference, or NULL. */
struct handle *handle_get(struct handle_table *table, uint64_t number);
void handle_put(struct handle_table *table, struct handle *handle); /* NULL is fine */

/* The kernel has closed it: the handle is destroyed as soon as no request uses it. */
void handle_remove(struct handle_table *table, uint64_t number);

#endif
