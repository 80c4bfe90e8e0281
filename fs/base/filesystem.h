/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which filesystems may be seen by other hosts: they read what this host writes in place, and none
 * of this host's means but a lock on a file keeps them out.
 */
#ifndef REVERTFS_BASE_FILESYSTEM_H
#define REVERTFS_BASE_FILESYSTEM_H

#include <stdbool.h>

/*
 * "NFS", "FUSE" and the like where other hosts may see the file of this descriptor, which may be
 * O_PATH; NULL where its filesystem is this host's alone, or cannot be told. Blocks for a server
 * that does not answer.
 */
const char *filesystem_shared(int fd);

/*
 * Whether fcntl(2) may refuse a lease there although nobody has the file open: NFS and SMB grant
 * one only where the server has promised to tell of other hosts.
 */
bool filesystem_refuses_leases(int fd);

#endif
