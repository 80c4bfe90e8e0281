/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that must not be done twice.
 *
 * The kernel sends every request that a killed daemon had read and not answered to the next daemon
 * (WIRE_RESENT). Had it been done? Most requests can simply be done again. Making, removing and
 * renaming cannot: a second unlink would fail with ENOENT. So before such a change the daemon notes
 * in the handover what it found under the names. When the request comes again, the next daemon
 * compares the note with what it finds itself, and so knows whether the change was made. Nobody in
 * the mount can have changed the names in between: the kernel holds the locks of their directories
 * until it has its answer.
 *
 * What a prepare or a release does to several disks depends on what is found, and its answer tells
 * all of it. So it is decided for all of them first, and the decision noted; the next daemon
 * carries that out, and does not decide again.
 */
#ifndef REVERTFS_RESTART_REPLAY_H
#define REVERTFS_RESTART_REPLAY_H

#include "handover.h"

struct replay {
	uint64_t unique;                    /* the kernel's number of the request, the same when it is sent again */
	bool again;                         /* it was sent again: an earlier daemon may have done it */
	uid_t uid;                          /* who asks */
	struct handover_request *noted;     /* its slot in the handover, or NULL */
	struct handover_decision *decision; /* the same of what was decided */
};

/* What an earlier daemon noted before it did this request. NULL: no daemon has begun to do it. */
const struct handover_request *replay_recall(struct handover *handover, struct replay *replay);

/*
 * Note what was found, right before changing it. A request that has a note keeps it. Where there is
 * no free slot nothing is noted, and the change is made all the same.
 */
void replay_note(struct handover *handover, struct replay *replay, const struct handover_request *found);

/*
 * Note the next step of a request that has several; its former note, of the step that is done,
 * goes.
 */
void replay_note_next(struct handover *handover, struct replay *replay, const struct handover_request *found);

/*
 * What an earlier daemon decided for this line of the request, and left undone, or done in part.
 * NULL: nothing. It may be changed.
 */
struct handover_decision *replay_recall_decision(struct handover *handover, struct replay *replay, unsigned line);

/*
 * Note it, before anything is done. It takes the place of what was decided for an earlier line. The
 * slot, or NULL where there is none: then all is done the same.
 */
struct handover_decision *replay_decide(struct handover *handover, struct replay *replay,
					const struct handover_decision *decision);

/* The kernel has the answer: the notes go. */
void replay_settle(struct handover *handover, struct replay *replay);

/* Forget notes of requests that were answered long ago. To be called once, at the start. */
void replay_forget_old(struct handover *handover);

#endif
