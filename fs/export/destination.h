/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an export may go: which directories outside the mount a caller may have a file put into.
 */
#ifndef REVERTFS_EXPORT_DESTINATION_H
#define REVERTFS_EXPORT_DESTINATION_H

#include "caller.h"
#include "model.h"

struct destination {
	int directory; /* owned; open for reading, so that it can be synced */
	char *path;    /* owned; of the directory, without symlinks, as the kernel tells it */
	char *name;    /* owned; the last component */
};

void destination_clear(struct destination *destination); /* for CLEANUP() */

/*
 * Open the directory of an absolute path; the file itself is neither opened nor made. -EINVAL for a
 * path that is no file's, and for one inside the mount, the images, state or scratch directory;
 * -EPERM where this caller may not export to; -ELOOP for a symlink, unless the caller is root. The
 * path may lead through this daemon's own mount, whose answer is waited for: so the calling thread
 * must hold no lock and no claim.
 */
int destination_open(struct disks *disks, const struct caller *caller, const char *path,
		     struct destination *ret_destination, struct sentence *error);

/*
 * 0 when the directory has no such name, or has a regular file that `replace` allows this caller to
 * replace. -EEXIST, -EPERM or -EINVAL with a sentence.
 */
int destination_check(const struct destination *destination, const struct caller *caller, const char *name,
		      bool replace, struct sentence *error);

#endif
