/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a fold waits for onlookers (model/onlookers.h), and that it cuts them then.
 */
#ifndef REVERTFS_JOBS_PATIENCE_H
#define REVERTFS_JOBS_PATIENCE_H

#include "model.h"

/*
 * To be asked before a queued fold begins, and again whenever something has changed: whether it may
 * begin now. Lets the clock of its patience run or stand still, and cuts the onlookers when that is
 * over. Wants disks->lock held; does not wait.
 */
bool fold_may_begin_locked(struct layer *layer);

#endif
