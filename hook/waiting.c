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

static bool has_any(const struct domain *domain, const struct mount *mount)
{
	for (size_t i = 0; i < domain->count; i++)
		if (domain->disks[i].path && path_is_beneath(domain->disks[i].path, mount->point))
			return true;
	return false;
}

static const char *string_of(struct json_object *disk, const char *key)
{
	const char *value = NULL;

	json_get_string(disk, key, &value);
	return value ? value : "";
}

static void add_disk(struct json_object *disk, const char *name, struct sentence *sentence)
{
	struct sentence before = *sentence, quoted;
	const char *kept = string_of(disk, "kept");

	/* Of what was never synced no commit can be made. */
	if (string_of(disk, "leftover")[0] && strcmp(kept, "unsynced") != 0)
		report(sentence, 0, "%s; what %s still waits: 'revertctl commit %s' keeps it", before.text,
		       strcmp(kept, "unhooked") == 0 ? "was written without a file" : "the last session wrote",
		       quote_name(name, &quoted));
}

static void add_disks(const struct domain *domain, const struct mount *mount, const char *status,
		      struct sentence *sentence)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	struct json_object *disks = NULL;

	if (json_parse(status, strlen(status), &root, NULL) < 0 || json_get_array(root, "disks", &disks) <= 0)
		return;
	for (size_t i = 0; i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		const char *name = string_of(disk, "name");

		if (is_domains(domain, mount, name))
			add_disk(disk, name, sentence);
	}
}

void waiting_add(const struct domain *domain, const struct mounts *mounts, struct sentence *sentence)
{
	for (const struct mount *mount = mounts_next(mounts, NULL); mount; mount = mounts_next(mounts, mount)) {
		struct question question = { .point = mount->point, .file = "status.json", .timeout_ms = DEADLINE_MS };
		CLEANUP(freep) char *answer = NULL;

		if (!has_any(domain, mount))
			continue;
		client_ask(&question, 1, true);
		answer = question.answer;
		if (answer)
			add_disks(domain, mount, answer, sentence);
	}
}
