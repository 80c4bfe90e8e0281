/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk serves, who may write it now, and every verb on it.
 *
 * A disk is a name in the mount that serves a scratch, a qcow2 file that stands on the disk's head
 * (table.c has the picture of its states). All functions may be called from any thread. Those
 * marked [waits] may wait for a fold to yield (a second at most), for the last writer to close (2 s
 * at most) or for another verb on the same disk to end (a commit's sync: as long as the medium
 * takes); the others return at once. Verbs return 0 or a negative errno with a sentence; on failure
 * the disk's content is what it was.
 */
#ifndef REVERTFS_DISK_DISK_H
#define REVERTFS_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "disks.h"
#include "handover.h"
#include "onlookers.h"
#include "record.h"
#include "util.h"

/*
 * What a name serves now. disk_scratch() takes a reference on the current scratch, or returns NULL
 * while the disk has failed. No two scratches of one mount have the same serial, so the tree can
 * give each its own nodeid. The descriptor of scratch_fd() is open for reading and writing and
 * valid as long as the reference; attributes and xattrs of a disk are those of this file.
 */
struct scratch *disk_scratch(struct disk *disk);

/*
 * The same where the reason counts. -EIO when the disk has failed; -ENOENT while it is being made,
 * and after its removal: the name is no disk's then.
 */
int disk_served(struct disk *disk, struct scratch **ret_scratch);
uint64_t scratch_serial(const struct scratch *scratch);
struct disk *scratch_disk(const struct scratch *scratch); /* borrowed, as long as the scratch */
int scratch_fd(struct scratch *scratch);                  /* a descriptor, borrowed */

/*
 * [waits] Count a descriptor on the scratch; scratch_close() ends that. -ESTALE when the disk has
 * another scratch by now: the kernel then looks the name up again. -EIO when the disk has failed.
 */
int scratch_open(struct scratch *scratch, bool writer);
void scratch_close(struct scratch *scratch, bool writer);

/*
 * [waits] The same for an onlooker (onlookers.h), who reads. -ESTALE also where a fold has waited
 * for onlookers long enough.
 */
int scratch_look_on(struct scratch *scratch, struct onlooker *ret_onlooker);
void scratch_look_away(struct scratch *scratch, const struct onlooker *onlooker);

/*
 * For descriptors that an earlier daemon had open on this mount. scratch_find() returns the scratch
 * whose file the handover notes, a reference: the disk's own, or one that a reset has replaced
 * since, or NULL when that file is gone. `stored` is its descriptor from the descriptor store
 * (borrowed), or -1. scratch_reopen() counts a descriptor; it need not wait, for no fold runs yet.
 */
struct scratch *scratch_find(struct disk *disk, const struct handover_node *noted, int stored);
char *scratch_store_name(uint64_t serial); /* its name in the descriptor store; the caller frees */
void scratch_reopen(struct scratch *scratch, bool writer);
void scratch_look_on_again(struct scratch *scratch, struct onlooker *ret_onlooker);

/*
 * Note whether the kernel reads and writes this open scratch without the daemon. Then
 * scratch_mark_written() is not called for what is written: the file's modification time shows it.
 */
void scratch_note_passthrough(struct scratch *scratch, bool passed);

/*
 * To be called before each modification of the scratch's data that the daemon does itself. Cheap.
 */
int scratch_mark_written(struct scratch *scratch);

/*
 * A guest's flush. In a session that ends in a reset it does nothing, for after a host crash that
 * scratch is discarded anyway; else it syncs the file.
 */
int scratch_sync(struct scratch *scratch);

/*
 * [waits] Remove a clone: unlink(2) of its name. -EPERM for an image's disk, -EBUSY while in use.
 */
int disk_unlink(struct disks *disks, const char *name);

/*
 * The control file's verbs; [waits] all of them. disk_protect_by_force() gives up layers that
 * another state directory has on the image; disk_check_protect() only says what disk_protect()
 * would refuse.
 */
int disk_protect(struct disks *disks, const char *name, const char *format, struct sentence *error);
int disk_protect_by_force(struct disks *disks, const char *name, const char *format, struct sentence *error);
int disk_check_protect(struct disks *disks, const char *name, const char *format, struct sentence *error);
int disk_unprotect(struct disks *disks, const char *name, bool force, struct sentence *error);
int disk_set(struct disks *disks, const char *name, const char *key, const char *value, struct sentence *error);
int disk_reset(struct disks *disks, const char *name, bool force, struct sentence *error);
int disk_commit_at_release(struct disks *disks, const char *name, struct sentence *error);

/* Of a commit or a snapshot that succeeded. `note` says why it is made, or is NULL. */
struct commit_result {
	char layer[LAYER_ID_SIZE]; /* that was made or named; of a commit "" when nothing was written */
	struct sentence warning;   /* that the disk has too many layers, and why; "" when it has not */
};
int disk_commit(struct disks *disks, const char *name, const char *note, struct commit_result *ret_result,
		struct sentence *error);
int disk_snapshot(struct disks *disks, const char *name, const char *snapshot, const char *note,
		  struct commit_result *ret_result, struct sentence *error);

/*
 * The snapshots that keep what undo and revert leave: the scratch's changes, and a head that
 * nothing else keeps. "" where there was nothing to keep. Set as soon as they are made, so also
 * where the verb fails then.
 */
struct move_result {
	char scratch[SNAPSHOT_NAME_MAX + 1];
	char head[SNAPSHOT_NAME_MAX + 1];
};
int disk_undo(struct disks *disks, const char *name, struct move_result *ret_result, struct sentence *error);
int disk_revert(struct disks *disks, const char *name, const char *snapshot, bool discard,
		struct move_result *ret_result, struct sentence *error);

/* Of a disk that is being written by a guest, which the caller has paused (live_snapshot.c). */
struct live_request {
	const char *snapshot;
	const char *note;        /* or NULL */
	const char *consistency; /* "quiesced", "crash-consistent" or "clean" */
};
struct live_result {
	char layer[LAYER_ID_SIZE];
	char consistency[TARGET_SIZE];
	bool was_copied; /* else nothing was written since the last reset, and a layer that was there got the name */
	bool reflink;    /* the copy shares its blocks with the scratch */
	double copy_ms;  /* for which the guest had to be paused */
	uint64_t bytes;  /* of the copy, on the medium */
};
int disk_snapshot_live(struct disks *disks, const char *name, const struct live_request *request,
		       struct live_result *ret_result, struct sentence *error);

/*
 * *ret_missing says what the disk has and its clone has not, as clone_say_missing() does; "" where
 * that is nothing.
 */
int disk_clone(struct disks *disks, const char *name, const char *clone, const char *snapshot, bool follow,
	       struct sentence *ret_missing, struct sentence *error);
int disk_delete(struct disks *disks, const char *name, const char *snapshot, struct sentence *error);

#endif
