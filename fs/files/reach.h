/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are opened again while the mount answers nobody, and so must not be waited for. What
 * lies in the images' own filesystem is. Any other filesystem may hang, and is given two seconds
 * for each call and twenty in all; once these are over, nothing more is asked of it. The same goes
 * for all leases together that an open in the images' own would break.
 */
#ifndef REVERTFS_FILES_REACH_H
#define REVERTFS_FILES_REACH_H

#include <sys/types.h>

#include "in_time.h"

struct reach;

/* `own` is the device of the images directory. NULL when out of memory: then all else fails. */
struct reach *reach_new(dev_t own);
void reach_free(struct reach *reach); /* NULL is fine */

/*
 * Open a name in a directory with O_PATH, not following a symlink. `device` is that of either,
 * where one is not the images' own. A descriptor or a negative errno; -ETIMEDOUT where the
 * filesystem has had its time.
 */
int reach_name(struct reach *reach, dev_t device, int directory, const char *name, int flags);

/* The same for a file whose path beneath a directory is no longer than a name may be. */
int reach_beneath(struct reach *reach, dev_t device, int directory, const char *path);

/* The same for the file, on that device, of a descriptor, as file_open(). */
int reach_again(struct reach *reach, dev_t device, int fd, int flags);

/* Any other call, as in_time(), but where it does not come in time the context is consumed. */
bool reach_call(struct reach *reach, dev_t device, const struct timed_call *call, int *ret_result);

#endif
