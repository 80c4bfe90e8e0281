/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-o reserve=`: what folds, exports, full clones and live snapshots leave free on the filesystem
 * that they write to. A full filesystem stops more than who filled it: guests that run there, and
 * the next commit.
 */
#ifndef REVERTFS_DISK_RESERVE_H
#define REVERTFS_DISK_RESERVE_H

#include <stdint.h>

#include "model.h"
#include "qemu_img.h"
#include "util.h"

/*
 * Whether `bytes` more on the filesystem where `fd` lies leave the reserve: 0; -ENOSPC, or what
 * asking failed with, with a sentence that goes on from "the copy cannot be made: ".
 */
int reserve_check(const struct options *options, int fd, uint64_t bytes, struct sentence *error);

/*
 * How many bytes a file's own data take at most in a qcow2 that is written cluster by cluster, or
 * (`dense`) in a raw file. Reads the tables of a qcow2. UINT64_MAX where they cannot be read.
 */
uint64_t reserve_for_data(const struct qemu_node *node, bool dense);

/*
 * How many bytes the file of a layer's parent grows by at most when the layer is folded: by the
 * layer's data, but by no more than the parent does not hold yet. Starts no process.
 */
uint64_t reserve_for_fold(const struct qemu_node *layer, const struct qemu_node *parent, uint64_t virtual_size);

#endif
