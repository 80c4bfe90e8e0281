/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims are taken in the order of the names, so that two domains with the same disks cannot block each other.
 */
#include "participant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "table.h"
#include "claim.h"

void parts_release(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		if (parts->list[i].disk)
			disk_release_claim(parts->list[i].disk);
	free(parts->list);
}

static int compare_parts(const void *a, const void *b)
{
	return strcmp(disk_name(((const struct part *)a)->disk), disk_name(((const struct part *)b)->disk));
}

/* Claim what was found, in the order of the names. On failure only what was claimed is let go as claimed. */
int parts_claim(struct parts *parts, struct sentence *error)
{
	qsort(parts->list, parts->count, sizeof(*parts->list), compare_parts);
	for (size_t i = 0; i < parts->count; i++) {
		if (disk_claim(parts->list[i].disk) == 0)
			continue;
		report(error, -ENOENT, "disk '%s' was unprotected meanwhile", disk_name(parts->list[i].disk));
		for (size_t k = i; k < parts->count; k++)
			disk_put(parts->list[k].disk);
		parts->count = i;
		return -ENOENT;
	}
	return 0;
}

void parts_let_go(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		disk_put(parts->list[i].disk);
	parts->count = 0;
}

void part_answer(struct json_object *list, const struct part *part, const char *target, const char *action)
{
	struct json_object *entry = json_object_new_object();

	json_set_string(entry, "name", part->disk->name);
	json_set_string(entry, "target", target);
	json_set_string(entry, "action", action);
	json_set_bool(entry, "consumed", part->consumed);
	if (part->name[0])
		json_set_string(entry, "point", part->name);
	json_object_array_add(list, entry);
}

bool records_differ(const struct disk_record *a, const struct disk_record *b)
{
	return memcmp(a, b, sizeof(*a)) != 0;
}
