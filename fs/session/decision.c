/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk is known by the inode of its directory in the state directory, which stays as long as it
 * is a disk: its name may be too long for the note.
 */
#include "decision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "replay.h"
#include "table.h"

_Static_assert(sizeof(((struct handover_decided *)NULL)->target) == TARGET_SIZE, "a target has no room");
_Static_assert(sizeof(((struct handover_decided *)NULL)->name) > SNAPSHOT_NAME_MAX, "a name has no room");

/* Another program wrote it, perhaps a later one that was replaced by this. */
static bool is_known(const struct handover_decided *decided)
{
	return decided->start <= START_CONTINUE && decided->leftover <= LEFT_LOST &&
	       decided->outcome <= OUTCOME_KEEP_SNAPSHOT && memchr(decided->target, '\0', sizeof(decided->target)) &&
	       memchr(decided->name, '\0', SNAPSHOT_NAME_MAX + 1);
}

struct handover_decision *decision_recall(struct disks *disks, const struct session_request *request)
{
	struct handover_decision *decision =
		request->replay ? replay_recall_decision(disks->handover, request->replay, request->line) : NULL;

	for (size_t i = 0; decision && i < decision->count; i++)
		if (!is_known(&decision->disks[i]))
			return NULL;
	return decision;
}

static bool is_about(const struct handover_decided *decided, const struct disk *disk)
{
	struct stat st;

	return fstat(disk->directory, &st) == 0 && st.st_ino == decided->inode && st.st_dev == decided->device;
}

struct handover_decided *decision_find(struct handover_decision *decision, const struct disk *disk)
{
	for (size_t i = 0; decision && i < decision->count; i++)
		if (is_about(&decision->disks[i], disk))
			return &decision->disks[i];
	return NULL;
}

static void fill_in(const struct participant *participant, struct handover_decided *ret)
{
	const struct session_record *session = participant->disk->session;
	struct stat st = { 0 };

	fstat(participant->disk->directory, &st);
	*ret = (struct handover_decided){ .device = st.st_dev,
					  .inode = st.st_ino,
					  .start = (uint8_t)participant->start,
					  .leftover = (uint8_t)participant->leftover,
					  .outcome = (uint8_t)participant->outcome,
					  .consumed = participant->consumed };
	snprintf(ret->target, sizeof(ret->target), "%s", session ? session->target : "");
	snprintf(ret->name, sizeof(ret->name), "%s", participant->name);
}

void decision_note(struct disks *disks, const struct session_request *request, struct participants *participants,
		   bool announced)
{
	CLEANUP(freep) struct handover_decision *decision = calloc(1, sizeof(*decision));
	struct handover_decision *noted = NULL;

	if (!request->replay || !decision)
		return;
	decision->line = request->line;
	decision->announced = announced;
	while (decision->count < participants->count && decision->count < HANDOVER_DECIDED_MAX) {
		fill_in(&participants->list[decision->count], &decision->disks[decision->count]);
		decision->count++;
	}
	noted = replay_decide(disks->handover, request->replay, decision);
	for (size_t i = 0; noted && i < noted->count; i++)
		participants->list[i].decided = &noted->disks[i];
}

struct disk *decision_disk(struct disks *disks, const struct handover_decided *decided)
{
	struct disk *disk = disks_step(disks, NULL);

	while (disk && !is_about(decided, disk))
		disk = disks_step(disks, disk);
	return disk;
}
