/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was decided for the disks of a prepare or a release, for the daemon that is asked the same
 * again because this one was killed over it.
 *
 * What is to be done with a disk depends on what is found: its hold, its leftover, for whom that
 * was kept, whether a restore was announced. All of that changes while it is done. So it is noted,
 * before the first disk is changed, what is to be done with each, and under which name something is
 * sealed aside. The next daemon does what is left of it, and its answer is the same.
 */
#ifndef REVERTFS_SESSION_DECISION_H
#define REVERTFS_SESSION_DECISION_H

#include "domain_request.h"
#include "handover.h"
#include "participant.h"

/*
 * What an earlier daemon decided for this same request; NULL: nothing, so it has changed nothing
 * either.
 */
struct handover_decision *decision_recall(struct disks *disks, const struct session_request *request);

/* Of that, what is about the disk; NULL where there is nothing. */
struct handover_decided *decision_find(struct handover_decision *decision, const struct disk *disk);

/*
 * Note what the participants say; `announced`: a restore was. Each participant's `decided` is set
 * then. Where there is no room it is not, and all is done the same.
 */
void decision_note(struct disks *disks, const struct session_request *request, struct participants *participants,
		   bool announced);

/* The disk that it is about, a reference; NULL where that is no disk any more. */
struct disk *decision_disk(struct disks *disks, const struct handover_decided *decided);

#endif
