/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers: jobs that copy a sealed layer out of a disk's history, for an export or a full clone.
 *
 * A transfer reads sealed layers only, so it need not yield to anybody. Its layers are pinned from
 * the moment it is asked for until it ends, so no fold changes what is copied. A disk may have
 * several queued; one job of a disk runs at a time, fold or transfer. No transfer outlives its
 * daemon.
 *
 * Whoever asks has a share. Root's always find a worker (transfer_workers()); the others' have
 * options.max_jobs workers together, of which one user gets half at most, since a copy may take
 * hours and is not interrupted for another. And a user has TRANSFERS_EACH queued and running at
 * most: each keeps the files of its layers open.
 *
 * Functions ending in _locked want disks->lock held; the others must not have it.
 */
#ifndef REVERTFS_JOBS_TRANSFER_H
#define REVERTFS_JOBS_TRANSFER_H

#include "chain.h"
#include "caller.h"
#include "digest.h"
#include "model.h"
#include "qemu_img.h"

#define TRANSFERS_EACH 16

struct transfer {
	/* Set before it is queued, by transfer_new() and its caller. */
	struct disk *disk;   /* a reference */
	const char *kind;    /* "export" or "clone" */
	char *target;        /* the path or name of what it makes; owned */
	struct layer *layer; /* what it reads: a reference, its chain pinned; NULL when it has ended */
	struct chain chain;  /* its files, open */
	uid_t uid;           /* of whoever asked */
	int (*run)(struct transfer *transfer, struct sentence *error);
	void (*clear)(void *work); /* frees `work` */
	void *work;

	/* disks->lock guards the rest. */
	uint64_t number; /* what `cancel NAME job=` and the status call it */
	unsigned refs;
	enum job_state state; /* JOB_NONE: ended */
	unsigned waiting;     /* threads that wait for the end */
	bool is_copied;       /* what is done now is the checksum of what was copied */
	uint64_t bytes;       /* how much there is to copy, about; or to take the checksum of */
	double percent;       /* of that */
	uint64_t started;     /* with that; monotonic ms */
	int stop_fd;
	int result;
	struct sentence error;
	struct transfer *next; /* in disks->transfers */
};

/* The layer of a disk that is to be read: the head, unless it says otherwise. */
struct transfer_source {
	const char *snapshot; /* or NULL */
	bool held;            /* what a saved guest resumes on */
};

/*
 * A transfer that reads that layer of the disk: a reference; the files are open.
 * The caller has claimed the disk, and may end the claim then: the disk is not removed while one
 * reads it. Waits for a fold there to yield. NULL with a sentence and a negative errno in
 * *ret_error: -ENOENT no such snapshot or no saved guest, -EBUSY a layer is being folded into it.
 */
struct transfer *transfer_new(struct disk *disk, const char *kind, const struct transfer_source *source, int *ret_error,
			      struct sentence *error);
void transfer_put(struct transfer *transfer);   /* NULL is fine */
void transfer_putp(struct transfer **transfer); /* for CLEANUP() */

/*
 * -EBUSY with a sentence when another makes the same target, -EAGAIN when whoever asks has too many
 * already. The caller keeps its reference.
 */
int transfer_queue(struct transfer *transfer, struct sentence *error);

/*
 * Wait for the end. -EINTR when the caller was interrupted (the transfer goes on), else its result.
 */
int transfer_wait(struct transfer *transfer, struct caller *caller, struct sentence *error);

/* Stop the disk's transfers (number 0), or one of them, and wait for that. How many there were. */
unsigned transfer_cancel(struct disk *disk, uint64_t number);

/* At the daemon's end: stop the running transfers; drop the queued ones when no worker is left. */
void transfer_stop_all_locked(struct disks *disks);
void transfer_drop_all(struct disks *disks);

/*
 * Whether a transfer of the disk is running; whether there is one, even if it is not queued yet;
 * whether one makes this target. One that reads this layer, or NULL: the layer lies in its chain.
 */
bool transfer_runs_locked(const struct disk *disk);
bool transfer_exists_locked(const struct disk *disk);
bool transfer_makes(struct disks *disks, const char *target);
const struct transfer *transfer_reading_locked(const struct layer *layer);

/* How many threads are to make transfers. */
unsigned transfer_workers(const struct options *options);

/*
 * For the workers: the next transfer that may run, made RUNNING: a reference, or NULL. And its end,
 * which puts the list's reference; `error` says why the result is negative and not -ECANCELED.
 */
struct transfer *transfer_take_locked(struct disks *disks);
void transfer_end(struct transfer *transfer, int result, const struct sentence *error);

/*
 * Within run(): copy the layer, flat, into the empty file `fd`, and note the progress. Not synced.
 */
int transfer_convert(struct transfer *transfer, int fd, const struct qemu_conversion *conversion,
		     struct sentence *error);

/* Within run(): the SHA-256 of what was copied, in two steps, as the status then tells. */
int transfer_digest(struct transfer *transfer, int fd, char digest[DIGEST_SIZE], struct sentence *error);

#endif
