/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's scratch, as the state directory has it.
 */
#ifndef REVERTFS_DAEMON_LOAD_SCRATCH_H
#define REVERTFS_DAEMON_LOAD_SCRATCH_H

#include "model.h"

/*
 * Give the disk the scratch that lies there, or a fresh one where that may not be used. The disk is
 * claimed by the caller and has its layers and its session; it has failed when it gets no scratch.
 * `crashed` is the session that a crash of the host has ended (crashed.h).
 */
void load_scratch(struct disk *disk, const struct session_record *crashed);

#endif
