/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether what a layer stands on can take it when it is folded.
 */
#ifndef REVERTFS_DISK_WRITABLE_H
#define REVERTFS_DISK_WRITABLE_H

#include "chain.h"
#include "model.h"
#include "program.h"

/*
 * Whether a layer, chain->nodes[0], can be folded into its parent: that may be written, and become
 * as large. What is found of an image is remembered (trouble.h). With `again` the fold was
 * begun before: then a bitmap in use is what it has left. 0; -EBADMSG, -EOPNOTSUPP, or an error of
 * reading, with a sentence.
 */
int writable_check(const struct layer *layer, const struct chain *chain, bool again, struct sentence *error);

/*
 * The first thing that is done to the parent, chain->nodes[1], of a fold that is recorded: one with
 * lazy_refcounts, whose QEMU died, has its clusters counted anew (it may have been the guest's QEMU
 * or that of a fold); one that must grow and is too old for that becomes compat 1.1.
 */
int writable_mend(const struct disk *disk, const struct layer *layer, const struct chain *chain,
		  const struct program_watch *watch, struct sentence *error);

/*
 * Whether the file of a layer or image, open as `fd`, can get this virtual size: qemu-img does not
 * enlarge every qcow2 file, nor a filesystem a raw one. 0, also where it is as large; -EOPNOTSUPP,
 * or an error of reading, with a sentence that says why. What wants to grow a disk asks this of all
 * that its fold goes through.
 */
int writable_check_size(const struct layer *layer, int fd, uint64_t size, struct sentence *error);

#endif
