/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a real image is, and whether it may be protected.
 */
#ifndef REVERTFS_DISK_PROBE_H
#define REVERTFS_DISK_PROBE_H

#include "model.h"

/*
 * Whether an image may be protected: a regular file with one link, raw or a qcow2 without backing
 * file, data file and encryption. With `format` NULL its first bytes tell (magic.h). Sets the
 * record's format, size and stamp, or returns an errno with a sentence. Starts no process.
 */
int probe_image(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error);

#endif
