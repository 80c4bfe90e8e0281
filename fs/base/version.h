/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The version of revertfs.
 */
#ifndef REVERTFS_BASE_VERSION_H
#define REVERTFS_BASE_VERSION_H

#define REVERTFS_VERSION "0.1"

#endif
