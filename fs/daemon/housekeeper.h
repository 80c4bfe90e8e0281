/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The thread for what nobody waits for.
 */
#ifndef REVERTFS_DAEMON_HOUSEKEEPER_H
#define REVERTFS_DAEMON_HOUSEKEEPER_H

#include "model.h"

/* The thread's function; `context` is the struct disks. It returns soon after disks->stopping. */
void *housekeeper_run(void *context);

#endif
