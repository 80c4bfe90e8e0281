/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-o protect=GLOB`: images that are protected when the daemon starts.
 */
#ifndef REVERTFS_DAEMON_AUTOPROTECT_H
#define REVERTFS_DAEMON_AUTOPROTECT_H

#include <stdbool.h>

#include "disks.h"
#include "options.h"

struct autoprotect;

/*
 * Begin to protect every regular file beneath the images directory whose name, relative to it,
 * matches one of the globs; '*' matches slashes too. What cannot be protected is logged and served
 * as it is. With `wait`, wait for the end for a few seconds, so that normally all are disks when
 * the mount answers. *ret_autoprotect is NULL where there are no globs.
 */
int autoprotect_start(const struct options *options, int images_fd, struct disks *disks, bool wait,
		      struct autoprotect **ret_autoprotect);

/*
 * End it after the image that it is at; NULL is fine. False when that has not come to an end after
 * a few seconds, as in a filesystem that does not answer: the thread goes on, so that nothing that
 * was handed to autoprotect_start() may be freed, and the process is to exit.
 */
bool autoprotect_stop(struct autoprotect *autoprotect);

#endif
