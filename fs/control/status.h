/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the mount's disks are doing: a table for people and JSON for programs. Changes nothing, and
 * never waits for a verb.
 */
#ifndef REVERTFS_CONTROL_STATUS_H
#define REVERTFS_CONTROL_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "disks.h"

/* What is true of the mount as a whole. */
struct mount_facts {
	bool passthrough;  /* the kernel grants it */
	uint32_t restarts; /* how many daemons the mount has outlived */
	unsigned nodes;    /* files that the kernel knows */
	unsigned handles;  /* open descriptors */
};

/* Both give a text that the caller frees, or NULL when out of memory. */
char *status_table(struct disks *disks);
char *status_json(struct disks *disks, const struct mount_facts *facts);

#endif
