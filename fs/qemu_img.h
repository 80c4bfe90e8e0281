/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running qemu-img: arguments, progress, deadline, exit status, and its stderr turned into a sentence.
 *
 * Files are handed over as descriptors and named /proc/self/fd/N, so no path is resolved again and nothing outside the
 * given files is opened: a chain is always given in full (struct qemu_node), never left to follow a header. No shell is
 * involved. A child dies with its daemon (PDEATHSIG), runs at low priority when the work is background work, and is killed when it
 * makes no progress (CPU time or bytes read and written) for options.qemu_timeout seconds. Every function blocks until the
 * child is gone. Errors: -ENOENT qemu-img is not there, -ETIMEDOUT it hung and was killed, -ECANCELED it was stopped,
 * -ENOSPC and -EIO as its stderr says, else -EIO.
 */
#ifndef REVERTFS_QEMU_IMG_H
#define REVERTFS_QEMU_IMG_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "util.h"

/* One file of a chain, the top first. The descriptors are borrowed. */
struct qemu_node {
	int fd;
	const char *format; /* "qcow2" or "raw" */
};

struct qemu_image_info {
	char format[32];
	uint64_t virtual_size;
	bool has_backing;
	bool has_data_file;
	bool is_encrypted;
};

/* What a long run reports to and is stopped by. */
struct qemu_watch {
	int stop_fd; /* an eventfd: readable means stop; -1: cannot be stopped */
	void (*progress)(void *context, double percent);
	void *context;
};

/* Look at an image; `format` NULL lets qemu-img probe. */
int qemu_img_info(const struct options *options, int fd, const char *format, struct qemu_image_info *ret_info,
		  struct sentence *error);

/* Make the empty file `fd` an overlay. The backing file is only named, not opened. */
int qemu_img_create(const struct options *options, int fd, const char *backing, const char *backing_format,
		    uint64_t virtual_size, struct sentence *error);

/* Write the data of chain[0] into chain[1]; chain[0] stays as it is. Background work. */
int qemu_img_commit(const struct options *options, const struct qemu_node *chain, size_t length,
		    const struct qemu_watch *watch, struct sentence *error);

/* Name another backing file in the header of `fd`; nothing but the header is changed. */
int qemu_img_rebase(const struct options *options, int fd, const char *backing, const char *backing_format,
		    struct sentence *error);

#endif
