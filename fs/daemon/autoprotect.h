/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-o protect=GLOB`: images that are protected when the daemon starts.
 */
#ifndef REVERTFS_DAEMON_AUTOPROTECT_H
#define REVERTFS_DAEMON_AUTOPROTECT_H

#include "disks.h"
#include "options.h"

/*
 * Protect every regular file beneath the images directory whose name, relative to it, matches one
 * of the globs; '*' matches slashes too. What cannot be protected is logged and served as it is.
 * Returns how many were protected now.
 */
unsigned protect_matching(const struct options *options, int images_fd, struct disks *disks);

#endif
