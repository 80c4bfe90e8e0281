/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that must not be done twice.
 *
 * What a daemon had read and not answered when it was killed, the kernel sends again to the next
 * one (WIRE_RESENT), and it may have been done already. Most requests may be done again; making,
 * removing and renaming may not: a second unlink says that there is no such file. So before such a
 * change it is noted, in the handover, what it finds; who meets his request again compares that
 * with what there is, and knows whether it was done. The kernel holds the locks of the directories
 * concerned until it has its answer, so nobody in the mount can have changed them since.
 */
#ifndef REVERTFS_RESTART_REPLAY_H
#define REVERTFS_RESTART_REPLAY_H

#include "handover.h"

struct replay {
	uint64_t unique; /* the kernel's number of the request, the same when it is sent again */
	bool again;      /* an earlier daemon may have had it */
	struct handover_request *noted;
};

/* What an earlier daemon noted when it was about to do this, or NULL: then it has not done it. */
const struct handover_request *replay_recall(struct handover *handover, struct replay *replay);

/*
 * What is found, by the caller who is about to change it. Noted once; without room for it nothing
 * is.
 */
void replay_note(struct handover *handover, struct replay *replay, const struct handover_request *found);

/* The same for the next of several steps, of which the noted one is done. */
void replay_note_next(struct handover *handover, struct replay *replay, const struct handover_request *found);

/* The kernel has its answer. */
void replay_settle(struct handover *handover, struct replay *replay);

/* Forget what nobody can ask for any more. To be called once, at the start. */
void replay_forget_old(struct handover *handover);

#endif
