/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's XML with other sources for some disks, and nothing else changed.
 */
#ifndef REVERTFS_CTL_DOMAIN_DOMAIN_EDIT_H
#define REVERTFS_CTL_DOMAIN_DOMAIN_EDIT_H

#include <stddef.h>

#include "util.h"

struct disk_change {
	const char *target;
	const char *path;   /* the new source; the disk becomes one of type file */
	const char *format; /* the new driver type */
};

/*
 * *ret_after is the changed XML. *ret_before is the XML as it was, but written by the same program,
 * so that the two can be compared line by line. free() both. -ENOENT where a target is not there.
 */
int domain_edit_disks(const char *xml, const struct disk_change *changes, size_t count, char **ret_before,
		      char **ret_after, struct sentence *error);

#endif
