/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qemu-img is asked to do. program.h says how it is run and what its errors are.
 *
 * Files are handed over as descriptors, formats are named, and a chain is given in full (struct
 * qemu_node). Every function blocks until the child has ended, and gives a negative errno of
 * program.h or qemu_run.h with a sentence; qemu-img's own words are in the log alone. "Background
 * work" runs at low priority and may be stopped.
 */
#ifndef REVERTFS_QEMU_QEMU_IMG_H
#define REVERTFS_QEMU_QEMU_IMG_H

#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "program.h"
#include "qemu_run.h"
#include "util.h"

/*
 * The version of qemu-img, and so most likely that of the QEMU that comes with it. -EBADMSG when it
 * does not say; it is not waited for longer than five seconds.
 */
int qemu_img_version(const struct options *options, unsigned *ret_major, unsigned *ret_minor, struct sentence *error);

/* Make the empty file `fd` an overlay. The backing file is named only, never opened. */
int qemu_img_create(const struct options *options, int fd, const char *backing, const char *backing_format,
		    uint64_t virtual_size, struct sentence *error);

/* Write the data of chain[0] into chain[1]; chain[0] stays as it is. Background work. */
int qemu_img_commit(const struct options *options, const struct qemu_node *chain, size_t length,
		    const struct program_watch *watch, struct sentence *error);

struct qemu_conversion {
	const char *format; /* "qcow2" or "raw" */
	bool compress;
	uint64_t rate; /* at most so many bytes per second; 0: no limit */
};

/* Write what the chain reads, flat, into the empty file `fd`; not synced. Background work. */
int qemu_img_convert(const struct options *options, const struct qemu_node *chain, size_t length, int fd,
		     const struct qemu_conversion *conversion, const struct program_watch *watch,
		     struct sentence *error);

/*
 * How many bytes on the medium qemu_img_convert() would take, uncompressed. As long as
 * qemu_img_check().
 */
int qemu_img_measure(const struct options *options, const struct qemu_node *chain, size_t length, const char *format,
		     uint64_t *ret_bytes, struct sentence *error);

/*
 * Whether a qcow2 file's tables are consistent. Clusters that nothing refers to are fine: they are
 * lost space. The backing file is not opened. It may take qemu_timeout seconds of processor time,
 * and one more for each GiB that its files have on the medium; then it is killed (-EIO).
 */
int qemu_img_check(const struct options *options, int fd, struct sentence *error);

/*
 * Have the file of chain[0] become compat 1.1. What it reads as stays, and its snapshots. As long
 * as qemu_img_check(). Background work.
 */
int qemu_img_modernize(const struct options *options, const struct qemu_node *chain, size_t length,
		       const struct program_watch *watch, struct sentence *error);

/*
 * Mend chain[0]: `what` is "leaks" to free the clusters that nothing in the file refers to, or
 * "all" to count all clusters anew, which a file that is dirty needs (qcow2_is_dirty()). As long as
 * qemu_img_check(). Background work.
 */
int qemu_img_repair(const struct options *options, const struct qemu_node *chain, size_t length, const char *what,
		    const struct program_watch *watch, struct sentence *error);

/* Name another backing file in the header of `fd`; the data stays as it is. */
int qemu_img_rebase(const struct options *options, int fd, const char *backing, const char *backing_format,
		    struct sentence *error);

#endif
