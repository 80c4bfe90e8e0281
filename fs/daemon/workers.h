/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Background work: threads that fold layers, make blanks ahead, free the blocks of old scratches
 * and start write-back.
 */
#ifndef REVERTFS_DAEMON_WORKERS_H
#define REVERTFS_DAEMON_WORKERS_H

#include "model.h"

int workers_start(struct disks *disks);
void workers_stop(struct disks *disks); /* waits until they are gone; running folds stop first */

#endif
