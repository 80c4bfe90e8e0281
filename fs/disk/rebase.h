/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Giving a qcow2 file another backing file: because the layer that it stood on was folded, or the
 * mount has another path.
 *
 * Only the header changes; the file must read the same over both backing files. qemu-img rewrites
 * the header in place, so the old one is kept in a file of its own until the new one is on the
 * medium.
 */
#ifndef REVERTFS_DISK_REBASE_H
#define REVERTFS_DISK_REBASE_H

#include "model.h"

#define SCRATCH_HEADER "scratch.header" /* a scratch's kept header, in its disk's directory */

/*
 * `saved` is the name of the kept header in `directory`. Does nothing when the header names the
 * parent already. Starts a process, which opens what the header names: -EBADMSG when that is more
 * than a backing file; of a scratch the caller has checked all of the header. Syncs. An errno with
 * a sentence; the old header is back then, or start-up puts it back.
 */
int rebase_header(struct disks *disks, int fd, int directory, const char *saved, const struct layer *parent,
		  struct sentence *error);

/*
 * At start: put the old header back where a crash interrupted a rebase. 0 also when there was none.
 */
int rebase_recover(int fd, int directory, const char *saved);

#endif
