/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does when a domain starts.
 *
 * prepare, no hold of the disk:
 *   no restore is announced                     FRESH     the leftover's policy, then a fresh
 *                                               scratch on the head
 *   a revert to a libvirt snapshot just ended   CONTINUE  with the scratch that was kept for it
 *   restore announced, scratch left undecided   CONTINUE  it holds the bytes the saved guest left
 *   on an external snapshot that was left       CONTINUE  with the scratch that it was taken of
 *   restore announced, nothing kept             refuse    the layer that this saved state needs is
 *                                               gone
 * prepare, a hold of this domain:
 *   restore announced, or DOMAIN.save exists    RESUME    a fresh scratch on the hold
 *   managed save is gone                        FRESH     the hold is dropped
 *   saved to a file of the user's               FRESH     the hold is sealed aside, the file may
 *                                               still come back
 * prepare, a hold or an active session of another domain: refuse.
 *
 * leftover: data in a scratch whose session is over
 *   armed, or a commit that failed              sealed aside as uncommitted-TIME
 *   written without a session                   sealed aside as unhooked-TIME
 *   undecided                                   sealed aside as uncommitted-TIME if it was armed or
 *                                               is a file's backing, as undecided-TIME if it could
 *                                               not be read whether it was armed
 *   edited, and armed in the JSON               sealed aside as uncommitted-TIME
 *   unsynced, and armed in the JSON             sealed aside as unsynced-TIME, or moved to lost/
 *                                               where qemu-img has found errors
 *   of a session without an end, whose JSON
 *   was edited since                            sealed aside as uncommitted-TIME if that is armed,
 *                                               else as undecided-TIME
 *   else                                        discarded, or sealed aside as crash-TIME with
 *                                               leftover=keep, or as snapshots-TIME where it has
 *                                               internal snapshots
 */
#ifndef REVERTFS_SESSION_CHOICE_H
#define REVERTFS_SESSION_CHOICE_H

#include "participant.h"

/*
 * Choose what the participant's disk does, or take what an earlier daemon has chosen, and check
 * that it can be done. `announced`: a restore was. 0, or a negative errno with a sentence that
 * refuses the start. Changes nothing, but that another content of its image may be taken (image.h),
 * which a request that is only to be checked does not. The disk is claimed.
 */
int choice_make(struct participant *participant, const struct session_request *request, bool announced,
		struct sentence *error);

/*
 * Whether what the session leaves is to be kept: leftover= in the domain's file, else of the disk.
 */
bool choice_keeps_leftover(const struct participant *participant);

const char *choice_start_name(enum start_kind start); /* for answers */

#endif
