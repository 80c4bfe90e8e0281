/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the header of a qcow2 file says, read without starting a process.
 *
 * A guest's QEMU may have written anything into a scratch. Before a scratch is sealed (a commit may
 * start no process) or given to qemu-img, these few fields decide that its header leads nowhere
 * else. Layout: QEMU's docs/interop/qcow2.txt.
 */
#ifndef REVERTFS_QEMU_QCOW2_H
#define REVERTFS_QEMU_QCOW2_H

#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define QCOW2_BACKING_MAX 1023 /* bytes in a backing file's name */

struct qcow2_header {
	uint32_t version;
	uint32_t cluster_bits;
	uint32_t encryption; /* 0: none */
	uint32_t refcount_order;
	uint32_t header_length;
	uint32_t snapshots; /* internal ones, as libvirt takes them */
	uint32_t bitmaps;   /* persistent ones, as checkpoints and backups have them */
	uint32_t l1_length; /* entries */
	uint64_t l1_offset;
	uint64_t virtual_size;
	uint64_t incompatible; /* feature bits */
	uint64_t compatible;
	uint64_t autoclear;
	uint64_t bitmap_directory; /* where it is; its size */
	uint64_t bitmap_directory_size;
	uint8_t compression;
	bool data_file;                      /* an external data file is named */
	bool unknown_extension;              /* a header extension that QEMU may know and revertfs does not */
	char backing[QCOW2_BACKING_MAX + 1]; /* "" when there is none */
	uint64_t backing_offset;             /* where it is in the file */
	char backing_format[32];             /* "" when none is given */
};

/*
 * Read the header. 0, or with a sentence: -ENOEXEC when the file is no qcow2, -EBADMSG when its
 * header contradicts itself, or what reading failed with.
 */
int qcow2_read_header(int fd, struct qcow2_header *ret_header, struct sentence *error);

/*
 * Whether there are internal snapshots, as far as these 64 bytes tell: false for what is no qcow2
 * and where they cannot be read. One read, for who wants to know nothing else.
 */
bool qcow2_has_snapshots(int fd);

/* Into the bytes of a header: how long the backing file's name is. */
void qcow2_put_backing_length(unsigned char *bytes, uint32_t length);

/* Whether clusters are written in part: extended L2 entries. */
bool qcow2_has_subclusters(const struct qcow2_header *header);

/* How many entries an L1 table has at least, for the virtual size. */
uint64_t qcow2_l1_entries(const struct qcow2_header *header);

/*
 * Whether nothing but the data is to be found by way of this header, apart from the backing file,
 * which who opens the file names itself: no data file, no encryption, no incompatible feature and
 * no extension that revertfs does not know, since it might name another file. 0, or -EBADMSG with a
 * sentence.
 */
int qcow2_check_alone(const struct qcow2_header *header, struct sentence *error);

/*
 * Whether a scratch still is what revertfs made of its blank: same backing file and format, no data
 * file, no encryption, no feature that was not there. 0, or -EBADMSG with a sentence that says what
 * was changed. Internal snapshots and bitmaps (libvirt's checkpoints) are allowed: they add data
 * and lead nowhere. So are a larger virtual size (virsh blockresize, vol-resize, qemu-img resize),
 * and, where the blank has lazy_refcounts, clusters that are not counted.
 */
int qcow2_check_scratch(const struct qcow2_header *found, const struct qcow2_header *made, struct sentence *error);

#endif
