/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a renaming hook (renamed.h) has left of an image, as the files beside it say. To be asked
 * only of a name that is no disk of revertfs: a disk is served as an overlay itself.
 */
#ifndef REVERTFS_CTL_LIBVIRT_RENAMED_DISK_H
#define REVERTFS_CTL_LIBVIRT_RENAMED_DISK_H

#include "util.h"

enum renamed_state {
	RENAMED_NOT,       /* the file is whatever it is */
	RENAMED_OVERLAY,   /* NAME is an overlay on NAME.backing_file, the image */
	RENAMED_MISSING,   /* there is NAME.backing_file alone */
	RENAMED_HALF_KEPT, /* NAME.being_kept was being committed into NAME.backing_file, no NAME */
	RENAMED_ALL_KEPT,  /* the image is NAME again, and has what NAME.being_kept has */
};

struct renamed_disk {
	enum renamed_state state;
	int directory;   /* where NAME lies */
	char *name;      /* there: one component */
	char format[32]; /* of the image, as the overlay's header has it; "": it does not say */
};

/*
 * Look at the image of this name in the images directory, which may be a mount. 0, or a negative
 * errno with a sentence. To be cleared in any case.
 */
int renamed_disk_look(const char *images, const char *name, struct renamed_disk *ret_disk, struct sentence *error);
void renamed_disk_clear(struct renamed_disk *disk); /* for CLEANUP() */

/* Open NAME with this suffix, a regular file. A descriptor, or a negative errno. */
int renamed_disk_open(const struct renamed_disk *disk, const char *suffix, int flags);

#endif
