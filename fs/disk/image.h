/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real image below a disk: whether it may be protected, and whether it was changed outside the
 * mount.
 */
#ifndef REVERTFS_DISK_IMAGE_H
#define REVERTFS_DISK_IMAGE_H

#include "model.h"

/*
 * Whether an image may be protected: a regular file with one link, raw or a qcow2 without backing
 * file, data file and encryption. With `format` NULL its first bytes tell (magic.h). Sets the
 * record's format, size and stamp, or returns an errno with a sentence. Starts no process.
 */
int image_probe(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error);

/*
 * Whether the image is what revertfs last saw. A change that nothing depends on is taken as the new
 * content, and logged. 0; -EBUSY with the ways out when layers, a hold or
 * (`scratch_depends`) the scratch stand on what the image was; another errno when it cannot be
 * reached. The disk is claimed.
 */
int image_check(struct disk *disk, bool scratch_depends, struct sentence *error);

/* Remember what the image looks like after revertfs has written it. */
int image_accept(struct layer *root);

#endif
