/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a real image is, and whether it may be protected.
 */
#ifndef REVERTFS_DISK_PROBE_H
#define REVERTFS_DISK_PROBE_H

#include "model.h"
#include "qcow2.h"

/* What a file looks like, for who does not know what it is. */
struct probe_look {
	const char *like; /* "raw", "qcow2", another format, or words for what is no disk */
	bool is_disk;     /* not a text, nor smaller than a sector */
};

/* A negative errno where it cannot be read. */
int probe_look(int fd, struct probe_look *ret_look);

/* Why nothing may be folded into a qcow2 image. 0; a broken directory of bitmaps is -EBADMSG. */
int probe_trouble(int fd, const struct qcow2_header *header, enum image_trouble *ret_trouble, struct sentence *error);

/*
 * Whether an image may be protected: a regular file with one link, raw or a qcow2 without backing
 * file, data file and encryption. With `format` NULL its first bytes tell (magic.h), and a text or
 * a file smaller than a sector is refused. Sets the record's format, size, trouble and stamp, or
 * returns an errno with a sentence. Starts no process.
 */
int probe_image(struct disks *disks, const char *name, const char *format, struct layer_record *ret_record,
		struct sentence *error);

#endif
