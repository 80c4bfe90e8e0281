/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scratch files: made fresh, checked, given up. The part that the mount sees is in disk.h
 * (scratch_open.c).
 *
 * All functions want the disk claimed by the caller, but for those that end in _locked,
 * scratch_write_back() and scratch_set_attributes().
 */
#ifndef REVERTFS_DISK_SCRATCH_H
#define REVERTFS_DISK_SCRATCH_H

#include "disk.h"
#include "model.h"

/*
 * Replace the disk's scratch by a fresh one on `layer`. Opens from here on find the fresh one;
 * descriptors that are open keep the old one. Takes well under a millisecond; syncs nothing and,
 * once the layer has its blank, starts no process. An errno with a sentence; then the disk has the
 * old scratch. -EIO also where the disk has failed and a file that `layer` stands on is gone.
 */
int scratch_replace(struct disk *disk, struct layer *layer, struct sentence *error);

/*
 * At start: take the scratch file that an earlier daemon left as the disk's scratch on `layer`.
 * -ENOENT when there is none, -EBADMSG when it is not a regular file.
 */
int scratch_adopt(struct disk *disk, struct layer *layer);

/* Whether it has been written to. Looks at the file; makes a disk whose state is PRISTINE DIRTY. */
bool scratch_is_dirty(struct scratch *scratch);

/*
 * Whether it has internal snapshots, as libvirt takes them: then somebody has asked for a state of
 * it by name, so that it is not thrown away unasked. False where no layer can be made of it. Reads
 * a few bytes, and its tables where the answer is yes.
 */
bool scratch_has_snapshots(struct scratch *scratch);

/*
 * What is to be said where it is committed: its internal snapshots stay behind. "" where it has
 * none.
 */
void scratch_warn_of_snapshots(struct scratch *scratch, struct sentence *ret_warning);

/* How many bytes it takes on the medium. */
uint64_t scratch_allocated(const struct scratch *scratch);

/*
 * Whether the header still says what revertfs wrote (qcow2_check_scratch()). 0; -EBADMSG, or an I/O
 * error, with a sentence.
 */
int scratch_check(struct scratch *scratch, struct sentence *error);

/* What of the root (layer_record.contents) the disk's scratch stands on. */
uint64_t scratch_contents(const struct disk *disk);

/*
 * Whether its image still has the content that it was made on. -EBADMSG with a sentence where
 * another one was taken for the image since, while its guest ran.
 */
int scratch_check_image(const struct scratch *scratch, struct sentence *error);

/*
 * Whether it may become a layer: its image, its header, and its tables (qcow2_clusters.h, also for
 * `torn`). Nobody writes to it. Reads its tables, which takes some milliseconds. Errors as above.
 * `ret_size` (NULL: not wanted) is its virtual size, which may have grown.
 */
int scratch_check_sealable(struct scratch *scratch, bool torn, uint64_t *ret_size, struct sentence *error);

/* Give a file owner, mode and xattrs of the disk's image, and no others. */
int scratch_set_attributes(const struct disk *disk, int fd);

/*
 * Move the scratch to lost/, where nothing uses it. `with` says what it has that it cannot be
 * sealed ("a header that ..."), for the log. Then the disk has no scratch file until
 * scratch_replace(). -EXDEV when scratches lie on another filesystem. `ret_said` says why not, or
 * where it is now.
 */
int scratch_to_lost(struct disk *disk, const char *with, struct sentence *ret_said);

/*
 * Start writing back the data of strict scratches, so that the sync at a seal is short. Called
 * every few seconds by the housekeeper (housekeeper.c). Does not wait for the medium.
 */
void scratch_write_back(struct disks *disks);

#endif
