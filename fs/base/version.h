/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which revertfs this is; the one place that says so.
 */
#ifndef REVERTFS_BASE_VERSION_H
#define REVERTFS_BASE_VERSION_H

#define REVERTFS_VERSION "0.1"

#endif
