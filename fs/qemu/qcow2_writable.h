/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a qcow2 file that stands on its own may be written into and made larger, told without
 * starting a process.
 */
#ifndef REVERTFS_QEMU_QCOW2_WRITABLE_H
#define REVERTFS_QEMU_QCOW2_WRITABLE_H

#include <stdbool.h>

#include "qcow2.h"
#include "util.h"

/* Whether QEMU has marked it so. QEMU does not open it for writing then. */
bool qcow2_is_corrupt(const struct qcow2_header *header);

/*
 * Whether one of its bitmaps is in use: a QEMU has it open, or died with it. 0, or -EBADMSG or an
 * error of reading with a sentence that begins with "it".
 */
int qcow2_find_bitmap_in_use(int fd, const struct qcow2_header *header, bool *ret_found, struct sentence *error);

/*
 * Whether qemu-img can give the file a larger virtual size, if need be once it is no longer too old
 * for that. 0, or -EOPNOTSUPP with a sentence that begins with "it": a bitmap is in use. An error
 * of reading, with a sentence.
 */
int qcow2_check_growable(int fd, const struct qcow2_header *header, struct sentence *error);

/*
 * Whether it is of compat 0.10 and has internal snapshots, whose own sizes that format cannot hold:
 * qemu-img enlarges it as compat 1.1.
 */
bool qcow2_is_too_old_to_grow(const struct qcow2_header *header);

/*
 * Whether the counts of its clusters may be wrong: a QEMU that puts them off (lazy_refcounts) died
 * with it. Whoever writes into it before `qemu-img check -r all` writes over its data.
 */
bool qcow2_is_dirty(const struct qcow2_header *header);

#endif
