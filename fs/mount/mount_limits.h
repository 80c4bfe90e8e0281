/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of what is limited there is for whom. What is limited first of all is how many
 * descriptors the daemon may have (RLIMIT_NOFILE), then the slots of the handover, then memory.
 *
 * The parts are fixed, so nobody gets at another's. One part of each kind is for users, who share
 * it (share.h); one is root's, and so the hook's; one is for descriptors on disks and their views,
 * which are shared by disk and user, since all guests may be one user, and half of which is kept
 * for disks that are hardly open yet; and what is left is the
 * daemon's, for the files of the disks themselves.
 */
#ifndef REVERTFS_MOUNT_MOUNT_LIMITS_H
#define REVERTFS_MOUNT_MOUNT_LIMITS_H

#include <stdint.h>

#define LIMITS_FEW 8 /* more than a QEMU wants of one disk or view */

struct limits {
	uint64_t nodes, root_nodes;     /* files that the kernel knows: a descriptor each */
	uint64_t handles, root_handles; /* open files, directories and control files: a descriptor each */
	uint64_t disk_handles;          /* of disks and views: a view has a descriptor for each */
	uint64_t kept_disk_handles;     /* for disks of which a user has fewer than LIMITS_FEW */
	uint64_t texts, root_texts;     /* bytes of status texts and answers that open handles keep */
	uint64_t listings;              /* bytes of directories' listings; kept for all of them together */
};

/* Of this process, as it is. */
struct limits limits_now(void);

/* The same for this many descriptors. */
struct limits limits_of(uint64_t descriptors);

#endif
