/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving a qcow2 file another backing file: when the layer it stood on was folded away, or the
 * mount has moved.
 *
 * Only the header changes; what the file reads must be the same over both. The old header is kept
 * in a file of its own until the new one is on the medium, for qemu-img rewrites it in place.
 */
#ifndef REVERTFS_DISK_REBASE_H
#define REVERTFS_DISK_REBASE_H

#include "model.h"

#define SCRATCH_HEADER "scratch.header" /* a scratch's kept header, in its disk's directory */

/*
 * `saved` is the name of the kept header in `directory`. Nothing is done when the header names the
 * new parent already.
 */
int rebase_header(struct disks *disks, int fd, int directory, const char *saved, const struct layer *parent,
		  struct sentence *error);

/*
 * At start: put the old header back where a crash came in between. 0 also when there is nothing to
 * do.
 */
int rebase_recover(int fd, int directory, const char *saved);

#endif
