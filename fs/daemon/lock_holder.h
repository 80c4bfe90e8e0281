/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process has a file locked.
 */
#ifndef REVERTFS_DAEMON_LOCK_HOLDER_H
#define REVERTFS_DAEMON_LOCK_HOLDER_H

#include <sys/types.h>

/*
 * A process that has the open file by which this file is locked with flock(2): who
 * locked it, or a child that has inherited it. 0 when none is seen. Asks /proc alone, so that it
 * waits for no filesystem.
 */
pid_t lock_holder(int fd);

#endif
