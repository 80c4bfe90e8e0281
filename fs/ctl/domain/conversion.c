/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the undo, what was there before is in memory: the definition as virsh printed it, and the
 * file's text.
 */
#include "conversion.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "diff.h"
#include "domain_xml.h"
#include "host.h"
#include "verbs.h"

void conversion_clear(struct conversion *conversion)
{
	for (size_t i = 0; i < conversion->count; i++) {
		free(conversion->disks[i].name);
		free(conversion->disks[i].from);
		free(conversion->disks[i].to);
		free(conversion->disks[i].from_format);
		free(conversion->disks[i].to_format);
		free(conversion->disks[i].overlay);
		renamed_disk_clear(&conversion->disks[i].renamed);
		json_object_put(conversion->disks[i].properties);
	}
	free(conversion->disks);
	mounts_free(conversion->mounts);
	defined_domain_clear(&conversion->defined);
	free(conversion->before);
	free(conversion->after);
	free(conversion->file);
	free(conversion->warning);
}

struct conversion_disk *conversion_add(struct conversion *conversion, const char *target)
{
	struct conversion_disk *larger = reallocarray(conversion->disks, conversion->count + 1, sizeof(*larger));

	if (!larger)
		return NULL;
	conversion->disks = larger;
	larger[conversion->count] = (struct conversion_disk){ .target = target, .renamed.directory = -1 };
	return &larger[conversion->count++];
}

void conversion_warn(struct conversion *conversion, const char *format, ...)
{
	CLEANUP(freep) char *before = conversion->warning;
	CLEANUP(freep) char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	conversion->warning =
		before && text ? format_text("%s\n%s", before, text) : steal_pointer(before ? &before : &text);
}

int conversion_edit(struct conversion *conversion, struct sentence *error)
{
	CLEANUP(freep) struct disk_change *changes = calloc(conversion->count + 1, sizeof(*changes));

	if (!changes)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < conversion->count; i++)
		changes[i] = (struct disk_change){ conversion->disks[i].target, conversion->disks[i].to,
						   conversion->disks[i].to_format };
	return domain_edit_disks(conversion->defined.xml, changes, conversion->count, &conversion->before,
				 &conversion->after, error);
}

int conversion_show(const struct conversion *conversion, struct sentence *error)
{
	const char *name = conversion->defined.domain->name,
		   *old = conversion->defined.config ? conversion->defined.config->text : "";
	CLEANUP(freep) char *xml_name = format_text("%s.xml", name);
	CLEANUP(freep) char *file_name = format_text(HOST_CONFIG_DIR "/%s.json", name);
	int r = xml_name && file_name ? 0 : report(error, -ENOMEM, "out of memory");

	if (r == 0)
		r = diff_print(xml_name, conversion->before, conversion->after, error);
	if (r == 0 && strcmp(old, conversion->file ? conversion->file : "") != 0)
		r = diff_print(file_name, old, conversion->file ? conversion->file : "", error);
	return r;
}

int conversion_status(const struct conversion_disk *disk, struct json_object **ret_disk, struct sentence *error)
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

int conversion_ask(const struct conversion_disk *disk, const char *verb, const char *key, const char *value,
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

/* ---- steps of a transaction */

static bool file_stays(const struct conversion *conversion)
{
	const char *old = conversion->defined.config ? conversion->defined.config->text : NULL;

	return old && conversion->file ? strcmp(old, conversion->file) == 0 : !old && !conversion->file;
}

int conversion_write_file(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	const struct config *config = conversion->defined.config;
	int r;

	if (file_stays(conversion))
		return 0;
	if (config && conversion->file)
		r = config_replace(config, conversion->file, error);
	else if (config)
		r = config_remove(config, error);
	else
		r = config_create(HOST_CONFIG_DIR, conversion->defined.domain->name, conversion->file, error);
	conversion->file_written = r == 0;
	return r;
}

/*
 * A file that is gone by now needs no undo. What is there now is taken for the file that was
 * written.
 */
int conversion_unwrite_file(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	CLEANUP(config_freep) struct config *now = NULL;
	const struct config *config = conversion->defined.config;
	int r;

	if (!conversion->file_written)
		return 0;
	if (config && !conversion->file)
		return config_create(HOST_CONFIG_DIR, conversion->defined.domain->name, config->text, error);
	r = config_load(HOST_CONFIG_DIR, conversion->defined.domain->name, &now, error);
	if (r <= 0)
		return r;
	return config ? config_replace(now, config->text, error) : config_remove(now, error);
}

/*
 * Whether the definition is still the one that was looked at. An errno when libvirt does not say.
 */
static int is_as_it_was(const struct conversion *conversion, bool *ret_same, struct sentence *error)
{
	CLEANUP(domain_freep) struct domain *domain = NULL;
	CLEANUP(freep) char *xml = NULL;
	int r = domain_xml_read(&conversion->defined.virsh, conversion->defined.domain->uuid, DOMAIN_XML_DEFINED, &xml,
				&domain, error);

	*ret_same = r == 0 && strcmp(xml, conversion->defined.xml) == 0;
	return r;
}

static int check_as_it_was(const struct conversion *conversion, struct sentence *error)
{
	bool same;
	int r = is_as_it_was(conversion, &same, error);

	if (r == 0 && !same)
		r = report(error, -ESTALE, "somebody has changed the definition of '%s' meanwhile: try again",
			   conversion->defined.domain->name);
	return r;
}

int conversion_try_define(const struct conversion *conversion, struct sentence *error)
{
	int r = check_as_it_was(conversion, error);

	return r < 0 ? r : virsh_define(&conversion->defined.virsh, conversion->defined.xml, error);
}

/*
 * A define that failed may have been done, by a virsh that was late: it counts as done before it is
 * tried.
 */
int conversion_define(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	int r;

	if (strcmp(conversion->before, conversion->after) == 0)
		return 0;
	r = check_as_it_was(conversion, error);
	if (r < 0)
		return r;
	conversion->definition_written = true;
	return virsh_define(&conversion->defined.virsh, conversion->after, error);
}

int conversion_undefine(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	bool same = !conversion->definition_written;
	int r = 0;

	if (!same && is_as_it_was(conversion, &same, error) < 0)
		same = false;
	if (!same)
		r = virsh_define(&conversion->defined.virsh, conversion->defined.xml, error);
	return r < 0 ? report_context(error, r, "the definition of '%s': ", conversion->defined.domain->name) : 0;
}

static bool is(const char *text, const char *wanted)
{
	return text && strcmp(text, wanted) == 0;
}

/*
 * Another process may have defined the domain at the same time, and libvirt may have read the
 * definition in another way.
 */
int conversion_verify(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	CLEANUP(domain_freep) struct domain *domain = NULL;
	int r = domain_xml_read(&conversion->defined.virsh, conversion->defined.domain->uuid, DOMAIN_XML_DEFINED, NULL,
				&domain, error);

	for (size_t i = 0; i < conversion->count && r == 0; i++) {
		const struct domain_disk *disk = domain_find(domain, conversion->disks[i].target);

		if (!disk || !is(disk->path, conversion->disks[i].to) ||
		    !is(disk->format, conversion->disks[i].to_format))
			r = report(error, -EIO,
				   "libvirt took the new definition of '%s', but its disk '%s' is not at '%s' now",
				   conversion->defined.domain->name, conversion->disks[i].target,
				   conversion->disks[i].to);
	}
	return r;
}

/* ---- what was done */

static void print_answer(const struct conversion *conversion, const char *verb)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_set_bool(answer, "ok", true);
	json_set_string(answer, verb, conversion->defined.domain->name);
	for (size_t i = 0; i < conversion->count; i++) {
		struct json_object *disk = json_object_new_object();

		json_set_string(disk, "target", conversion->disks[i].target);
		json_set_string(disk, "name", conversion->disks[i].name);
		json_set_string(disk, "mount", conversion->disks[i].mount->point);
		json_set_string(disk, "from", conversion->disks[i].from);
		json_set_string(disk, "to", conversion->disks[i].to);
		if (conversion->disks[i].overlay)
			json_set_string(disk, "overlay", conversion->disks[i].overlay);
		json_object_array_add(list, disk);
	}
	json_object_object_add(answer, "disks", list);
	if (conversion->warning)
		json_set_string(answer, "warning", conversion->warning);
	print_json(answer);
}

void conversion_print(const struct context *context, const struct conversion *conversion, const char *verb)
{
	const char *name = conversion->defined.domain->name;

	if (context->json) {
		print_answer(conversion, verb);
		return;
	}
	printf("%s: %s\n", name, verb);
	for (size_t i = 0; i < conversion->count; i++) {
		const struct conversion_disk *disk = &conversion->disks[i];

		printf("  %s: %s (%s), was %s (%s)\n", disk->target, disk->to, disk->to_format, disk->from,
		       disk->from_format);
	}
	if (!file_stays(conversion))
		printf("  " HOST_CONFIG_DIR "/%s.json: %s\n", name, conversion->file ? "written" : "removed");
	if (conversion->warning)
		printf("%s\n", conversion->warning);
}
