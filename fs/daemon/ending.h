/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a signal means that tells the daemon to end, and who loses a disk by the end.
 */
#ifndef REVERTFS_DAEMON_ENDING_H
#define REVERTFS_DAEMON_ENDING_H

#include <stdbool.h>
#include <sys/signalfd.h>

#include "disks.h"
#include "handover.h"

/*
 * Whether the mount is to stay for a successor. Logs who sent the signal, and what follows: for an
 * operator who wonders why the disks are gone, or are not.
 */
bool ending_leaves_mount(const struct signalfd_siginfo *info, struct handover *handover);

/* A warning for each disk that somebody has open, who gets errors from now on. */
void ending_warn(struct disks *disks);

#endif
