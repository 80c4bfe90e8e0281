/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sealing: what a guest wrote becomes an immutable layer. Commit, hold and "aside" differ only in
 * what points to the layer: the head, the hold, or a name.
 */
#ifndef REVERTFS_DISK_SEAL_H
#define REVERTFS_DISK_SEAL_H

#include "model.h"

enum seal_kind {
	SEAL_COMMIT, /* the layer becomes the head; a hold that it stands on becomes part of its chain */
	SEAL_HOLD,   /* the layer becomes the hold; the head stays */
	SEAL_ASIDE,  /* the layer gets a name; head and hold stay */
};

/* What is to be done for one disk. The disk is claimed by the caller and has no writers. */
struct seal {
	struct disk *disk;
	enum seal_kind kind;
	const char *snapshot;     /* a name that the layer gets; NULL: none, but one that is sealed aside needs it */
	const char *note;         /* why; or NULL */
	bool clean;               /* SEAL_ASIDE: its guest had shut down */
	struct disk_record after; /* disk.json as it is to be; seal_scratches() sets head and hold */
	uint64_t size;            /* virtual, of the scratch; seal_scratches() sets it */
	bool marked;              /* the image has the mark that the layer needs (image_mark.h) */
	struct layer *layer;      /* out: the new layer, a reference that the caller puts */
};

/*
 * Seal the scratches of several disks, all or none, and give each a fresh one. Blocks for the sync
 * of what the guests wrote. On failure every disk is as it was, unless the sentence says that the
 * outcome on disk is unknown: then those disks have failed and nothing was removed. `uuid` and
 * `domain` are those of the domain whose session ends; NULL for a verb of the control file.
 */
int seal_scratches(struct disks *disks, struct seal *seals, size_t count, const char *uuid, const char *domain,
		   struct sentence *error);

/* At start: carry out an intent that a crash left, and remove it. An errno with a sentence. */
int seal_complete_intent(struct disks *disks, const char *file, struct sentence *error);

#endif
