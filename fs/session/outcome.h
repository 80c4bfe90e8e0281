/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each disk does when its domain has ended:
 *
 *   reason                          session         what is done
 *   shutdown, destroyed             armed now       COMMIT
 *   shutdown, destroyed             else            RESET
 *   saved                                           HOLD
 *   failed                          on a hold       DROP: the scratch goes, the hold stays
 *   failed                          continued       KEEP, undecided: what the session went on with
 *                                   is still needed
 *   failed, crashed, daemon         armed, or the target is not in the JSON; written
 *                                                   ASIDE
 *   failed, crashed, daemon         else            RESET
 *   from snapshot                                   KEEP for the prepare that follows at once
 *   migrated, unknown                               KEEP, undecided
 *   shutdown, destroyed             the target is not in the JSON, or has another source now:
 *                                   KEEP, undecided
 *
 * What would be a RESET is ASIDE where the scratch has internal snapshots. No target is in a JSON
 * that is gone or cannot be read: then the session may have been armed.
 */
#ifndef REVERTFS_SESSION_OUTCOME_H
#define REVERTFS_SESSION_OUTCOME_H

#include "participant.h"

/* Of a disk that is claimed and has a session, as are those below. */
enum outcome outcome_of_session(const struct participant *participant, const struct session_request *request);

/* As the hook is answered. */
const char *outcome_name(enum outcome outcome);

/* The scratch stays as it is, and waits. */
bool outcome_is_undecided(enum outcome outcome);

/*
 * Whether it is to be kept by what is said now, or was said at its start: what the domain's file
 * says now may not be known.
 */
bool outcome_was_armed(const struct participant *participant, const struct session_request *request);

/* disk.json as it is to be after the participant's outcome. */
struct disk_record outcome_record(const struct participant *participant, const struct session_request *request);

/*
 * Whether its outcome makes a layer. A pristine scratch has nothing to commit or to seal aside. A
 * saved guest that wrote nothing has a layer of its own nevertheless; one that was resumed from
 * such a layer, or whose release is asked for again, has it already.
 */
bool outcome_needs_seal(const struct participant *participant);

#endif
