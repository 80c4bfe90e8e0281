/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that copies a sealed layer out of a disk's history because somebody asked for it: an export,
 * a full clone.
 *
 * It reads sealed layers only, so it gives way to nobody; instead the layers are counted as read
 * from the moment it is asked for until it ends, and are not folded meanwhile: what is copied is
 * what the layer was then. A disk may have several waiting; one job of a disk runs at a time, fold
 * or transfer, and options.max_jobs in all. None outlives its daemon.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_JOBS_TRANSFER_H
#define REVERTFS_JOBS_TRANSFER_H

#include "chain.h"
#include "caller.h"
#include "model.h"
#include "qemu_img.h"

struct transfer {
	/* Set by whoever makes it, before it is queued. */
	struct disk *disk;   /* a reference */
	const char *kind;    /* "export" or "clone" */
	char *target;        /* what it makes: a path or a name; owned */
	struct layer *layer; /* what it reads: a reference, counted as read */
	struct chain chain;  /* its files, open */
	uint64_t bytes;      /* how much there is to copy, about */
	int (*run)(struct transfer *transfer, struct sentence *error);
	void (*clear)(void *work); /* frees `work` */
	void *work;

	/* disks->lock guards the rest. */
	uint64_t number; /* what `cancel NAME job=` and the status call it */
	unsigned refs;
	enum job_state state; /* JOB_NONE: ended */
	unsigned waiting;     /* who wants to be told of the end */
	double percent;
	uint64_t started; /* monotonic ms */
	int stop_fd;
	int result;
	struct sentence error;
	struct transfer *next; /* in disks->transfers */
};

/*
 * One that reads the disk's `snapshot` (NULL: its head), whose files are open then. The disk is
 * claimed by the caller. NULL with a sentence and the errno in *ret_error: -ENOENT no such
 * snapshot, -EBUSY it is just being folded over.
 */
struct transfer *transfer_new(struct disk *disk, const char *kind, const char *snapshot, int *ret_error,
			      struct sentence *error);
void transfer_put(struct transfer *transfer);   /* NULL is fine */
void transfer_putp(struct transfer **transfer); /* for CLEANUP() */

/* -EBUSY when another one makes the same target. The caller keeps its reference. */
int transfer_queue(struct transfer *transfer, struct sentence *error);

/* -EINTR when the caller went away (the transfer goes on), else what it ended with. */
int transfer_wait(struct transfer *transfer, struct caller *caller, struct sentence *error);

/* Stop those of the disk (number 0), or one, and wait for their end. How many there were. */
unsigned transfer_cancel(struct disk *disk, uint64_t number);

/*
 * At the daemon's end: stop those that run; and, when the workers are gone, drop those that wait.
 */
void transfer_stop_all_locked(struct disks *disks);
void transfer_drop_all(struct disks *disks);

/*
 * Whether one of the disk's is running; whether any waits or runs; whether one makes this target;
 * and one that reads this layer or one above, or NULL.
 */
bool transfer_runs_locked(const struct disk *disk);
bool transfer_exists_locked(const struct disk *disk);
bool transfer_makes(struct disks *disks, const char *target);
const struct transfer *transfer_reading_locked(const struct layer *layer);

/*
 * For workers.c: the next that may run, made RUNNING (a reference), and its end, which gives up the
 * list's.
 */
struct transfer *transfer_take_locked(struct disks *disks);
void transfer_end(struct transfer *transfer, int result, const struct sentence *error);

/*
 * Within run(): copy the layer, flat, into the empty file `fd`, and note how far it is. Not synced.
 */
int transfer_convert(struct transfer *transfer, int fd, const struct qemu_conversion *conversion,
		     struct sentence *error);
struct program_watch transfer_watch(struct transfer *transfer);

#endif
