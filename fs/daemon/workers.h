/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of background work: workers that fold layers, workers that copy layers out, the
 * housekeeper, and those that may hang (loose.h).
 */
#ifndef REVERTFS_DAEMON_WORKERS_H
#define REVERTFS_DAEMON_WORKERS_H

#include "model.h"

/* 0 or a negative errno; then some threads may run, and workers_stop() ends them. */
int workers_start(struct disks *disks);

/*
 * Stop running folds and transfers, and wait until all threads have ended. What was waiting is
 * dropped. False where a thread hangs, as loose_wait_for_all().
 */
bool workers_stop(struct disks *disks);

#endif
