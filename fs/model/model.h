/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The structs that all verbs work on. fs/mount/ sees disks.h, view.h, caller.h and
 * name_claim.h instead.
 *
 * disks->lock guards every member of the structs below that is not marked otherwise. It is held for
 * a few assignments and not over a system call that can wait for a medium (but that status.c asks
 * the size of each layer's file), so that looking up a name or printing the status never waits for
 * a commit. What takes time is excluded by claims, pins
 * and the ownership of a running fold instead; README.md in this folder has the rules.
 *
 * disks->changed is broadcast whenever something changes that a thread may wait for.
 */
#ifndef REVERTFS_MODEL_MODEL_H
#define REVERTFS_MODEL_MODEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disks.h"
#include "guard.h"
#include "handover.h"
#include "name_claim.h"
#include "onlookers.h"
#include "options.h"
#include "record.h"
#include "blank.h"
#include "util.h"

/*
 * The record changes by layer_update() alone, after its file has been replaced, and then only those
 * members are written that have changed. Id, image and format never change; they may be read
 * without the lock. So may what is told of the layer (created, domain, note, consistency) by a
 * claim or pin on the layer, since only a fold into it changes that. State, names and stamp want
 * the lock, or disks->records; so does virtual_size (layer_virtual_size()).
 */
struct layer {
	struct disks *disks;
	struct layer_record record; /* what layers/ID.json says: see above */
	struct layer *parent;       /* NULL for a root */
	struct layer *next;         /* in disks->layers */
	struct blank *blank;        /* for scratches on this layer; NULL until needed */
	struct blank *old_blanks;   /* of other sizes that it had; a thread may still be reading one */
	uint64_t serial;
	unsigned refs;     /* pointers to it: of the list, children, heads, holds, scratches, views */
	unsigned children; /* layers whose parent this is */
	unsigned pins;     /* uses of its file that keep folds away: guests' descriptors on its view, jobs, verbs */
	unsigned chosen;   /* verbs that make it a disk's head, and have claimed no disk that needs it */
	unsigned sealing;  /* of a root: seals that are putting a layer on it */
	bool renewing;     /* of a root: another content is being taken; no seal begins meanwhile */
	bool looked_at;    /* of a root: by a thread that only wants to know (disk/image_look.h) */
	struct onlookers onlookers; /* other descriptors on its view */
	struct patience patience;   /* of its fold */
	bool removed;               /* out of the list; its record and files are gone */
	unsigned mark_needs;        /* of a root: layers about to be recorded on it (image_mark.h) */
	bool marking;               /* ... a thread writes its image's mark, or takes it away */
	bool copy_told, unmarked_told;
	bool beating;  /* a thread renews its span (disk/beat.h) */
	bool given_up; /* only a fold needs it: gc_given_up() looks at it when the fold has ended */
	/*
	 * Of a root: what its image looked like when it was last looked at, with the read bits that
	 * its path leaves (access.h); st_nlink is 0 where it never was.
	 */
	struct stat seen;
	const char *shared; /* of a root: the image's filesystem, where other hosts may see it; else NULL */
	bool labelled;      /* the view shows label_* */
	uid_t label_uid;
	gid_t label_gid;
	mode_t label_mode;
};

struct scratch {
	struct disk *disk;   /* a reference */
	struct layer *layer; /* a reference: what it stands on */
	uint64_t serial;
	unsigned refs;
	unsigned readers, writers;
	struct onlookers onlookers; /* readers that are not among `readers` */
	int fd;                     /* open for reading and writing; set once */
	uint64_t contents;          /* record.contents of its root when it was made */
	atomic_bool touched;        /* written to; also seen in the file itself (blank.h) */
	atomic_bool passed;         /* the kernel passes it through, if it does that at all; as of the last open */
	atomic_bool unwritten;      /* has data that no write-back was started for; strict scratches only */
	bool stored;                /* has no name any more; the descriptor store has it for a restart */
};

enum job_state { JOB_NONE, JOB_QUEUED, JOB_RUNNING };

/*
 * A disk's own background work: folding. There is no list of jobs; workers look through the disks.
 * An export or a full clone is a transfer instead (fs/jobs/transfer.h).
 */
struct job {
	enum job_state state;
	struct layer *layer; /* being folded, while running: a reference */
	double percent;
	uint64_t bytes;      /* of the layer, on the medium */
	uint64_t started;    /* monotonic ms */
	int stop_fd;         /* eventfd of the run */
	bool stop;           /* asked to stop */
	bool postponed;      /* cancelled: not queued again before the next commit, `fold` or start */
	uint64_t not_before; /* monotonic ms: when the next try is due after a failure */
	unsigned failures;   /* in a row */
	bool short_of_room;  /* the last run did not begin for lack of space */
	uint64_t ended;      /* how many runs have ended: a waiter sees by it that one has */
	int result;          /* of the last run */
	struct sentence error;
};

enum disk_state { DISK_PRISTINE, DISK_DIRTY, DISK_FAILED };

struct disk {
	struct disks *disks;
	struct disk *next_disk; /* in disks->first, sorted by name */
	char *name;             /* set once */
	int directory;          /* disks/NAME, set once */
	int scratch_directory;  /* borrowed: directory, or disks->scratch_fd; set once */
	char *scratch_name;     /* set once */
	unsigned refs;
	bool removed;     /* out of the table, or about to be: nothing new begins on it */
	bool claimed;     /* by a verb */
	unsigned waiting; /* opens and verbs that wait for the claim: no fold begins meanwhile */
	enum disk_state state;
	struct sentence failure;          /* why DISK_FAILED */
	struct disk_record record;        /* what disk.json says; changed only after that has been replaced */
	struct layer *root, *head, *hold; /* references; hold may be NULL */
	struct layer *next;               /* a layer made ahead, with its blank, not yet in the tree; or NULL */
	bool wants_next;
	bool wants_followers_moved;
	unsigned moving_followers; /* workers that move clones on; until they have, the job goes on */
	struct scratch *scratch;   /* the current one, a reference; NULL while DISK_FAILED */
	struct session_record *session;
	bool session_adopted; /* it began under this daemon, or under an earlier one of this mount */
	bool session_had_writer;
	bool session_may_be_armed; /* by an edit of the domain's file, or a command that is being done (arm.c) */
	bool session_unsynced;     /* session.json was written or removed, which is not on the medium yet */
	uint64_t session_since;    /* monotonic ms */
	uint64_t writers_gone;     /* monotonic ms of the last writer's close */
	struct job job;
	unsigned copies;            /* transfers that read its layers, also those that are not queued yet */
	const char *copied;         /* the live snapshot that is copied and not yet sealed; NULL: none */
	struct sentence last_error; /* "" when there is none */
	struct sentence refusal;    /* why its image keeps it from starting, as last seen; "": it does not (image.c) */
};

/* An export or full clone that an earlier daemon did not finish (output.c). */
struct unfinished {
	char *file; /* its record, in makings/ */
	struct unfinished *next;
};

/* A descriptor whose closing frees a large file. */
struct closing {
	int fd;
	uint64_t stored; /* the scratch's serial when the descriptor store has it too; else 0 */
	struct closing *next;
};

struct loose;

struct disks {
	struct options *options;
	struct handover *handover; /* borrowed */
	int images_fd;             /* borrowed */
	const char *images_shared; /* their filesystem, where other hosts may see it; else NULL; set once */
	int state_lock, images_run_lock, images_lock; /* see daemon/locks.c */
	struct guard state_guard, images_guard;       /* of two of these */
	int state_fd, disks_fd, layers_fd, intents_fd, lost_fd, outputs_fd;
	int scratch_fd; /* -1: scratches lie with their records */
	char boot[BOOT_ID_SIZE];
	char id[LAYER_ID_SIZE]; /* of the state directory, for marks; "" until one was needed. Changed with `records`, too */
	bool marks_settled;          /* image_marks_settle() has begun */
	bool anothers_told;          /* disks_check_plain_write() has refused one that is another's */
	bool unread_told;            /* ... and one whose mark could not be read */
	struct elsewhere *elsewhere; /* images that are none of this state directory's (elsewhere.h) */
	bool first_of_boot;          /* of this start: scratches were never synced and may be torn */
	struct layer *loading;       /* at start: layers whose parents have not been loaded yet */
	struct reach *reach;         /* ... and by which images are looked for */
	bool incomplete; /* a record could not be read: no layer is removed or folded, for it may need one */

	struct name_claims names; /* claims on names; one is taken before `lock` and any disk's claim */
	pthread_mutex_t records;  /* taken before `lock`; see layer_update() */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* CLOCK_MONOTONIC; anything */
	pthread_cond_t queued;  /* CLOCK_MONOTONIC; a job was queued, for workers that are idle */
	void *by_name;          /* tsearch(3) of struct disk */
	struct disk *first;     /* the same disks, sorted by name; the table holds one reference of each */
	struct layer *layers;
	uint64_t last_serial;
	struct closing *closing;
	struct transfer *transfers; /* queued and running, in the order they came (transfer.h) */
	uint64_t last_transfer;
	struct unfinished *unfinished;
	bool outputs_are_clean; /* nothing is unfinished any more */
	struct due *due;        /* disk/due.h, which has a lock of its own; set before the mount answers; NULL: none */
	unsigned running;       /* folds */
	bool stopping;
	pthread_t *workers;
	unsigned worker_count;
	struct loose *loose; /* daemon/loose.h */
};

/*
 * References (model.c). The last put frees the memory; only layer_remove() removes a layer's files.
 * NULL is fine for the puts of layers and scratches.
 */
struct layer *layer_get_locked(struct layer *layer);
void layer_put_locked(struct layer *layer);
void layer_put(struct layer *layer);
void disk_put_locked(struct disk *disk);
void disk_free(struct disk *disk); /* a disk that no other thread has seen */
void scratch_put_locked(struct scratch *scratch);
bool disk_is_open_locked(const struct disk *disk);      /* somebody reads or writes its scratch */
bool disk_is_kept_open_locked(const struct disk *disk); /* ... who is no onlooker */

/* Whether it has been written to; asks its file, since writes may bypass the daemon. */
bool scratch_looks_dirty_locked(const struct scratch *scratch);

#endif
