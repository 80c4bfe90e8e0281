/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the mount's disks are doing: a table for people and JSON for programs. Reads, never changes, never waits for a verb.
 */
#ifndef REVERTFS_STATUS_H
#define REVERTFS_STATUS_H

#include "disk.h"

/* Both give a text that the caller frees, or NULL when out of memory. `restarts` is how often this mount has been adopted. */
char *status_table(struct disks *disks);
char *status_json(struct disks *disks, bool passthrough, uint64_t restarts);

#endif
