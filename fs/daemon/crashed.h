/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions that the host's crash has ended.
 */
#ifndef REVERTFS_DAEMON_CRASHED_H
#define REVERTFS_DAEMON_CRASHED_H

#include "model.h"

/*
 * Decide what a crash has left of the session of an earlier boot: `session` is what its record
 * says, without a uuid where there is none. `has_scratch`: the scratch is its, and no layer by
 * now. disk.json is written where that says more than it did; the session's record is removed.
 */
void crashed_decide(struct disk *disk, const struct session_record *session, bool has_scratch);

/* Say that data of the scratch is about to be thrown away. */
void crashed_say_discarded(const struct disk *disk, const struct session_record *session);

#endif
