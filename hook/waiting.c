/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemons' status is read: it has a disk's `leftover` where something waits.
 */
#include "waiting.h"

#include <errno.h>
#include <string.h>

#include "client.h"
#include "command.h"
#include "json.h"

#define DEADLINE_MS 5000

/* Whether the disk of this name in the mount is one of the domain's. */
static bool is_domains(const struct domain *domain, const struct mount *mount, const char *name)
{
	CLEANUP(freep) char *path = format_text("%s/%s", mount->point, name);

	for (size_t i = 0; path && i < domain->count; i++)
		if (domain->disks[i].path && strcmp(domain->disks[i].path, path) == 0)
			return true;
	return false;
}

/* A disk of which a commit can be made now: of what was never synced it cannot. */
static const char *name_of_waiting(struct json_object *disk)
{
	const char *name = NULL, *leftover = NULL, *kept = NULL;

	json_get_string(disk, "name", &name);
	json_get_string(disk, "leftover", &leftover);
	json_get_string(disk, "kept", &kept);
	return leftover && kept && strcmp(kept, "unsynced") != 0 ? name : NULL;
}

static void add_disks(const struct domain *domain, const struct mount *mount, const char *status,
		      struct sentence *sentence)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	struct json_object *disks = NULL;
	struct sentence before, quoted;

	if (json_parse(status, strlen(status), &root, NULL) < 0 || json_get_array(root, "disks", &disks) <= 0)
		return;
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		const char *name = name_of_waiting(json_object_array_get_idx(disks, i));

		if (!name || !is_domains(domain, mount, name))
			continue;
		before = *sentence;
		report(sentence, 0, "%s; what the last session wrote still waits: 'revertctl commit %s' keeps it",
		       before.text, quote_name(name, &quoted));
	}
}

void waiting_add(const struct domain *domain, const struct mounts *mounts, struct sentence *sentence)
{
	for (const struct mount *mount = mounts_next(mounts, NULL); mount; mount = mounts_next(mounts, mount)) {
		struct question question = { .point = mount->point, .file = "status.json", .timeout_ms = DEADLINE_MS };
		CLEANUP(freep) char *answer = NULL;

		client_ask(&question, 1, true);
		answer = question.answer;
		if (answer)
			add_disks(domain, mount, answer, sentence);
	}
}
