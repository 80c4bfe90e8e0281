/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims are taken in the order of the names, so that two domains with the same disks cannot block
 * each other.
 */
#include "participant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "layer.h"
#include "lock.h"
#include "table.h"

void participants_release(struct participants *participants)
{
	for (size_t i = 0; i < participants->count; i++)
		if (participants->list[i].disk)
			disk_release_claim(participants->list[i].disk);
	free(participants->list);
}

static int compare_participants(const void *a, const void *b)
{
	return strcmp(disk_name(((const struct participant *)a)->disk),
		      disk_name(((const struct participant *)b)->disk));
}

int participants_claim(struct participants *participants, struct sentence *error)
{
	qsort(participants->list, participants->count, sizeof(*participants->list), compare_participants);
	for (size_t i = 0; i < participants->count; i++) {
		if (disk_claim(participants->list[i].disk) == 0)
			continue;
		report(error, -ENOENT, "disk '%s' was unprotected meanwhile", disk_name(participants->list[i].disk));
		for (size_t k = i; k < participants->count; k++)
			disk_put(participants->list[k].disk);
		participants->count = i;
		return -ENOENT;
	}
	return 0;
}

void participants_put(struct participants *participants)
{
	for (size_t i = 0; i < participants->count; i++)
		disk_put(participants->list[i].disk);
	participants->count = 0;
}

bool participant_is_aside(const struct participant *participant)
{
	const struct disk *disk = participant->disk;
	bool is = false;

	LOCKED (&disk->disks->lock)
		is = participant->name[0] && disk_find_snapshot_locked(disk, participant->name);
	return is;
}

int participants_allocate_result(const struct participants *participants, size_t more, struct session_result *result,
				 struct sentence *error)
{
	result->list = calloc(participants->count + more + 1, sizeof(*result->list));
	return result->list ? 0 : report(error, -ENOMEM, "out of memory");
}

void participant_add_result(const struct participant *participant, const char *target, const char *action,
			    struct session_result *result)
{
	struct participant_result *added = &result->list[result->count++];

	added->disk = disk_get(participant->disk);
	snprintf(added->target, sizeof(added->target), "%s", target);
	added->action = action;
	added->consumed = participant->consumed;
	strcpy(added->snapshot, participant->name);
	added->warning = participant->warning;
}

void session_result_clear(struct session_result *result)
{
	for (size_t i = 0; i < result->count; i++)
		disk_put(result->list[i].disk);
	free(result->list);
}

static bool texts_differ(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") != 0;
}

/*
 * By members: a comparison of the bytes would see padding, and what an older text left behind a
 * NUL.
 */
bool records_differ(const struct disk_record *a, const struct disk_record *b)
{
	return texts_differ(a->head, b->head) || texts_differ(a->hold, b->hold) ||
	       texts_differ(a->hold_uuid, b->hold_uuid) || texts_differ(a->hold_domain, b->hold_domain) ||
	       a->hold_managed != b->hold_managed || a->fate != b->fate || texts_differ(a->fate_uuid, b->fate_uuid) ||
	       a->fate_armed != b->fate_armed || a->fate_unread != b->fate_unread || a->fate_clean != b->fate_clean ||
	       texts_differ(a->unread_uuid, b->unread_uuid) || texts_differ(a->unread_target, b->unread_target) ||
	       texts_differ(a->snapshot_file, b->snapshot_file) || a->fate_torn != b->fate_torn ||
	       a->fate_since != b->fate_since || a->commit_at_release != b->commit_at_release ||
	       texts_differ(a->consumed, b->consumed) || a->keep_revisions != b->keep_revisions ||
	       a->domain_revisions_set != b->domain_revisions_set || a->domain_revisions != b->domain_revisions ||
	       a->leftover_keep != b->leftover_keep || a->strict != b->strict || a->keeps_data != b->keeps_data ||
	       (a->fate != FATE_DISCARD && a->contents != b->contents) || texts_differ(a->origin, b->origin) ||
	       a->follow != b->follow;
}
