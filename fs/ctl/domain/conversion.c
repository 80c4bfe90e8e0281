/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was there before is in memory: the definition as virsh printed it, and the file's text.
 */
#include "conversion.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "host.h"

void moving_clear(struct moving *moving)
{
	for (size_t i = 0; i < moving->count; i++) {
		free(moving->disks[i].name);
		free(moving->disks[i].from);
		free(moving->disks[i].to);
		free(moving->disks[i].from_format);
		free(moving->disks[i].to_format);
		json_object_put(moving->disks[i].properties);
	}
	free(moving->disks);
	mounts_free(moving->mounts);
	guest_clear(&moving->guest);
	free(moving->before);
	free(moving->after);
	free(moving->file);
}

struct moving_disk *moving_add(struct moving *moving, const char *target)
{
	struct moving_disk *larger = reallocarray(moving->disks, moving->count + 1, sizeof(*larger));

	if (!larger)
		return NULL;
	moving->disks = larger;
	larger[moving->count] = (struct moving_disk){ .target = target };
	return &larger[moving->count++];
}

int moving_rewrite(struct moving *moving, struct sentence *error)
{
	CLEANUP(freep) struct disk_change *changes = calloc(moving->count + 1, sizeof(*changes));

	if (!changes)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < moving->count; i++)
		changes[i] = (struct disk_change){ moving->disks[i].target, moving->disks[i].to,
						   moving->disks[i].to_format };
	return rewrite_disks(moving->guest.xml, changes, moving->count, &moving->before, &moving->after, error);
}

int moving_show(const struct moving *moving, struct sentence *error)
{
	const char *name = moving->guest.domain->name, *old = moving->guest.config ? moving->guest.config->text : "";
	CLEANUP(freep) char *xml_name = format_text("%s.xml", name);
	CLEANUP(freep) char *file_name = format_text(HOST_CONFIG_DIR "/%s.json", name);
	int r = xml_name && file_name ? 0 : report(error, -ENOMEM, "out of memory");

	if (r == 0)
		r = rewrite_show(xml_name, moving->before, moving->after, error);
	if (r == 0 && strcmp(old, moving->file ? moving->file : "") != 0)
		r = rewrite_show(file_name, old, moving->file ? moving->file : "", error);
	return r;
}

int moving_status(const struct moving_disk *disk, struct json_object **ret_disk, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	struct json_object *found = NULL;
	struct sentence ignored;
	int r = ask_status(disk->mount->point, &status, error);

	if (r < 0)
		return r;
	*ret_disk = ask_find_disk(status, disk->name, &found, &ignored) == 0 ? json_object_get(found) : NULL;
	return 0;
}

int moving_ask(const struct moving_disk *disk, const char *verb, const char *key, const char *value,
	       struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *line = strdup(verb);
	int r = line ? command_append(&line, NULL, disk->name) : -ENOMEM;

	if (r == 0 && value)
		r = command_append(&line, key, value);
	return r < 0 ? report(error, r, "'%s' cannot stand in a command: %s", disk->name, error_text(r))
		     : ask(disk->mount->point, line, ASK_TIMEOUT_MS, &answer, error);
}

/* ---- steps */

static bool file_stays(const struct moving *moving)
{
	const char *old = moving->guest.config ? moving->guest.config->text : NULL;

	return old && moving->file ? strcmp(old, moving->file) == 0 : !old && !moving->file;
}

int moving_write_file(void *subject, struct sentence *error)
{
	struct moving *moving = subject;
	const struct config *config = moving->guest.config;
	int r;

	if (file_stays(moving))
		return 0;
	if (config && moving->file)
		r = config_replace(config, moving->file, error);
	else if (config)
		r = config_remove(config, error);
	else
		r = config_create(HOST_CONFIG_DIR, moving->guest.domain->name, moving->file, error);
	moving->file_written = r == 0;
	return r;
}

/* The file that is there now is the one that was written, or nobody's to take back. */
int moving_unwrite_file(void *subject, struct sentence *error)
{
	struct moving *moving = subject;
	CLEANUP(config_freep) struct config *now = NULL;
	const struct config *config = moving->guest.config;
	int r;

	if (!moving->file_written)
		return 0;
	if (config && !moving->file)
		return config_create(HOST_CONFIG_DIR, moving->guest.domain->name, config->text, error);
	r = config_load(HOST_CONFIG_DIR, moving->guest.domain->name, &now, error);
	if (r <= 0)
		return r;
	return config ? config_replace(now, config->text, error) : config_remove(now, error);
}

/* Whether the definition is the one that was looked at; -EIO and the like when libvirt does not say. */
static int is_as_it_was(const struct moving *moving, bool *ret_same, struct sentence *error)
{
	CLEANUP(domain_freep) struct domain *domain = NULL;
	CLEANUP(freep) char *xml = NULL;
	int r = guest_definition(&moving->guest.virsh, moving->guest.domain->uuid, &xml, &domain, error);

	*ret_same = r == 0 && strcmp(xml, moving->guest.xml) == 0;
	return r;
}

/* A define that failed may have been done: virsh may have been late. So it counts from here. */
int moving_define(void *subject, struct sentence *error)
{
	struct moving *moving = subject;
	bool same;
	int r;

	if (strcmp(moving->before, moving->after) == 0)
		return 0;
	r = is_as_it_was(moving, &same, error);
	if (r < 0)
		return r;
	if (!same)
		return report(error, -ESTALE, "somebody has changed the definition of '%s' meanwhile: try again",
			      moving->guest.domain->name);
	moving->defined = true;
	return virsh_define(&moving->guest.virsh, moving->after, error);
}

int moving_undefine(void *subject, struct sentence *error)
{
	struct moving *moving = subject;
	bool same = !moving->defined;
	int r = 0;

	if (!same && is_as_it_was(moving, &same, error) < 0)
		same = false;
	if (!same)
		r = virsh_define(&moving->guest.virsh, moving->guest.xml, error);
	return r < 0 ? report_context(error, r, "the definition of '%s': ", moving->guest.domain->name) : 0;
}

static bool is(const char *text, const char *wanted)
{
	return text && strcmp(text, wanted) == 0;
}

/* Another process may have defined it at the same time, and libvirt may have understood it otherwise. */
int moving_verify(void *subject, struct sentence *error)
{
	struct moving *moving = subject;
	CLEANUP(domain_freep) struct domain *domain = NULL;
	CLEANUP(freep) char *xml = NULL;
	int r = virsh_domain_xml(&moving->guest.virsh, moving->guest.domain->uuid, true, &xml, error);

	if (r == 0)
		r = domain_parse(xml, strlen(xml), &domain, error);
	for (size_t i = 0; i < moving->count && r == 0; i++) {
		const struct domain_disk *disk = domain_find(domain, moving->disks[i].target);

		if (!disk || !is(disk->path, moving->disks[i].to) || !is(disk->format, moving->disks[i].to_format))
			r = report(error, -EIO,
				   "libvirt took the new definition of '%s', but its disk '%s' is not at '%s' now",
				   moving->guest.domain->name, moving->disks[i].target, moving->disks[i].to);
	}
	return r;
}

/* ---- what was done */

static void print_json(const struct moving *moving, const char *verb)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_set_bool(answer, "ok", true);
	json_set_string(answer, verb, moving->guest.domain->name);
	for (size_t i = 0; i < moving->count; i++) {
		struct json_object *disk = json_object_new_object();

		json_set_string(disk, "target", moving->disks[i].target);
		json_set_string(disk, "name", moving->disks[i].name);
		json_set_string(disk, "mount", moving->disks[i].mount->point);
		json_set_string(disk, "from", moving->disks[i].from);
		json_set_string(disk, "to", moving->disks[i].to);
		json_object_array_add(list, disk);
	}
	json_object_object_add(answer, "disks", list);
	printf("%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

void moving_print(const struct context *context, const struct moving *moving, const char *verb)
{
	const char *name = moving->guest.domain->name;

	if (context->json) {
		print_json(moving, verb);
		return;
	}
	printf("%s: %s\n", name, verb);
	for (size_t i = 0; i < moving->count; i++) {
		const struct moving_disk *disk = &moving->disks[i];

		printf("  %s: %s (%s), was %s (%s)\n", disk->target, disk->to, disk->to_format, disk->from,
		       disk->from_format);
	}
	if (!file_stays(moving))
		printf("  " HOST_CONFIG_DIR "/%s.json: %s\n", name, moving->file ? "written" : "removed");
}
