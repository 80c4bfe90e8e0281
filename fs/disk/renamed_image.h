/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images that a renaming hook has put aside (renamed.h): refused with the ways out, since a flat
 * copy of what is there would keep the session that was to be thrown away.
 */
#ifndef REVERTFS_DISK_RENAMED_IMAGE_H
#define REVERTFS_DISK_RENAMED_IMAGE_H

#include "disks.h"
#include "qcow2.h"
#include "util.h"

/*
 * 0 where `fd`, which is NAME, is no overlay on NAME.backing_file beside it. Else a sentence with
 * -EINVAL, or with -EBUSY where somebody writes it: its domain runs under that hook.
 */
int renamed_image_refuse(const struct disks *disks, int fd, const char *name, const struct qcow2_header *header,
			 struct sentence *error);

/* The same for a NAME that is not there. */
int renamed_image_refuse_missing(const struct disks *disks, const char *name, struct sentence *error);

#endif
