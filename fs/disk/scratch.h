/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scratch files: made fresh, opened, counted, synced. The part that the mount sees is in disk.h.
 *
 * All functions want the disk claimed by the caller unless they end in _locked.
 */
#ifndef REVERTFS_DISK_SCRATCH_H
#define REVERTFS_DISK_SCRATCH_H

#include "disk.h"
#include "model.h"

/*
 * Put a fresh scratch on `layer` in the place of the disk's scratch: the old one is gone for
 * whoever opens the disk from here on, and lives on for those who have it open. Well under a
 * millisecond; nothing is synced and, once the layer has its blank, no process started.
 */
int scratch_replace(struct disk *disk, struct layer *layer, struct sentence *error);

/*
 * Take the file that lies there as the disk's scratch on `layer`. -ENOENT, or -EBADMSG when it is
 * not a regular file.
 */
int scratch_adopt(struct disk *disk, struct layer *layer);

/* Whether it has been written to; looks at the file. */
bool scratch_is_dirty(struct scratch *scratch);
bool scratch_looks_dirty_locked(
	const struct scratch *scratch); /* the same for those who only tell it; changes nothing */

/* Whether the header still says what revertfs wrote. 0, or -EBADMSG with a sentence. */
int scratch_check(struct scratch *scratch, struct sentence *error);

/* Give a file owner, mode and xattrs of the disk's image, and no others. */
int scratch_set_attributes(const struct disk *disk, int fd);

/*
 * Move the scratch to lost/, where nothing uses it: it has `with` ("a header that ...") and cannot
 * be sealed. The disk has no file then, until scratch_replace().
 */
int scratch_to_lost(struct disk *disk, const char *with, struct sentence *error);

/*
 * Start writing back what strict scratches hold, so that the sync at a seal is short. Called now
 * and then by a worker.
 */
void scratch_write_back(struct disks *disks);

#endif
