/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a caller may have a file put outside the mount.
 */
#ifndef REVERTFS_EXPORT_DESTINATION_H
#define REVERTFS_EXPORT_DESTINATION_H

#include "caller.h"
#include "model.h"

struct destination {
	int directory; /* open for syncing */
	char *path;    /* of the directory, as the kernel calls it */
	char *name;    /* the last component */
};

void destination_clear(struct destination *destination); /* for CLEANUP() */

/*
 * Open the directory of an absolute path. -EINVAL for a path that can never do, and for one inside
 * the mount, the images, state or scratch directory; -EPERM where this caller may not export to;
 * -ELOOP for a symlink on another's way than root's. Opens no file. May ask our own mount, so no
 * lock and no claim is held.
 */
int destination_open(struct disks *disks, const struct caller *caller, const char *path,
		     struct destination *ret_destination, struct sentence *error);

/*
 * Whether a name there is free, or is a file that `replace` allows to go. -EEXIST, -EPERM or
 * -EINVAL with a sentence.
 */
int destination_check(const struct destination *destination, const struct caller *caller, const char *name,
		      bool replace, struct sentence *error);

#endif
