/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-o protect=GLOB`: images that are protected when the daemon starts.
 */
#ifndef REVERTFS_DAEMON_AUTOPROTECT_H
#define REVERTFS_DAEMON_AUTOPROTECT_H

#include <stdbool.h>

#include "disks.h"

/*
 * Begin to protect every regular file beneath the images directory whose name, relative to it,
 * matches one of the globs; '*' matches slashes too. What cannot be protected is logged and served
 * as it is. With `wait`, wait for the end for a few seconds, so that normally all are disks when
 * the mount answers. The thread is one of the disks' (loose.h). 0 or a negative errno.
 */
int autoprotect_start(struct disks *disks, bool wait);

#endif
