/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a real image is, and whether it may be protected.
 */
#ifndef REVERTFS_DISK_PROBE_H
#define REVERTFS_DISK_PROBE_H

#include "model.h"

/* What a file looks like, for who does not know what it is. */
struct probe_look {
	const char *like; /* "raw", "qcow2", another format, or words for what is no disk */
	bool is_disk;     /* not a text, nor smaller than a sector */
};

/* A negative errno where it cannot be read. */
int probe_look(int fd, struct probe_look *ret_look);

/*
 * Whether an image may be protected: a regular file with one link, raw or a qcow2 without backing
 * file, data file and encryption. With `format` NULL its first bytes tell (magic.h), and a text or
 * a file smaller than a sector is refused. Sets the record's format, size and stamp, or returns an errno with a sentence. Starts no process.
 */
int probe_image(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error);

#endif
