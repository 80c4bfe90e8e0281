/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tables of a qcow2 file refer to, read without starting a process.
 *
 * Why are compressed and repeated clusters refused in a scratch? Because they make a file read as
 * far more than it takes: 872 KB of them became 537 MB in the image at a fold. A QEMU that serves a
 * guest writes neither. It writes compressed clusters for `qemu-img convert -c` and backup jobs
 * alone, and what it shares, it shares between the active table and those of internal snapshots.
 *
 * Only the active table is read, as far as the virtual size reaches: no fold, export or guest reads
 * those of internal snapshots, nor the state of a guest that `savevm` puts behind the end of the
 * disk, for which QEMU makes the L1 table longer. Nor are bitmaps read.
 */
#ifndef REVERTFS_QEMU_QCOW2_CLUSTERS_H
#define REVERTFS_QEMU_QCOW2_CLUSTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "qcow2.h"
#include "util.h"

struct qcow2_usage {
	uint64_t bytes;       /* of data that the tables refer to; a compressed cluster counts as a whole one */
	uint64_t whole_bytes; /* the same, but each cluster of which any subcluster is allocated counts as a whole */
	uint64_t compressed;  /* clusters */
	uint64_t repeated;    /* references to a cluster that header, tables or another reference have already */
	uint64_t behind_end;  /* references to clusters that begin behind the file's end; they read as zeros */
};

/*
 * Read the active tables. Reads no data: a table of 128 KiB for each GiB, where clusters have
 * 128 KiB. Memory: a bit for each cluster of the file, up to 64 MiB. 0; -EBADMSG with a sentence
 * when the tables overlap each other or lie outside the file; an error of reading, with one too.
 */
int qcow2_read_usage(int fd, const struct qcow2_header *header, struct qcow2_usage *ret_usage, struct sentence *error);

/*
 * Whether the tables are such as a guest's QEMU writes. A host's crash may leave references to what
 * was never written, behind the file's end: `torn` lets them pass. 0, or -EBADMSG or an error of
 * reading with a sentence.
 */
int qcow2_check_clusters(int fd, const struct qcow2_header *header, bool torn, struct sentence *error);

#endif
