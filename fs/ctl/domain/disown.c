/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * disown: a domain goes back to its real images. Of a domain that libvirt does not have any more,
 * what is left goes (disown_gone.c).
 *
 * While everything is still protected, what the images lack is brought into them: changes are
 * committed, and commits folded, which may take long and may fail. Before that, libvirt is asked to
 * define what is defined already: a libvirt that refuses does so while nothing has changed. Then
 * the transaction's steps follow, each with its undo: the domain's file, the definition, and the
 * end of the protection. Changes that are to be discarded are discarded by the last step, disk by
 * disk: where a later disk fails, the undo cannot bring back what an earlier one had.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "command.h"
#include "config_text.h"
#include "disown.h"
#include "domain_xml.h"
#include "long_command.h"
#include "status_json.h"
#include "subcommands.h"

void disown_clear(struct disown *disown)
{
	conversion_clear(&disown->conversion);
	free(disown->which);
}

/* ---- checks */

static int locate_disk(struct disown *disown, struct conversion_disk *disk, struct sentence *error)
{
	const struct conversion *conversion = &disown->conversion;
	const struct domain_disk *xml = domain_find(conversion->defined.domain, disk->target);

	if (!xml || !xml->path)
		return report(error, -ENOENT,
			      "'%s' names the target '%s', but the domain has no such disk: take it out there",
			      conversion->defined.config->shown, disk->target);
	disk->mount = mounts_of_path(conversion->mounts, xml->path);
	if (!disk->mount)
		return report(error, -EINVAL, "disk '%s': '%s' lies in no revertfs mount", disk->target, xml->path);
	disk->from = strdup(xml->path);
	disk->from_format = strdup(xml->format ? xml->format : "raw");
	disk->name = strdup(name_beneath(xml->path, disk->mount->point));
	disk->to = disk->name ? format_text("%s/%s", disk->mount->images, disk->name) : NULL;
	return disk->from && disk->from_format && disk->to ? 0 : report(error, -ENOMEM, "out of memory");
}

/* Write "'installed', 'before-revert-...'": the disk's snapshots. Returns how many there are. */
static size_t list_points(struct json_object *status, char *out, size_t size)
{
	struct json_object *layer, *name;
	size_t count = 0, used = 0;

	out[0] = '\0';
	for (size_t i = 0; (layer = element_of(status, "layers", i)); i++) {
		for (size_t k = 0; (name = element_of(layer, "names", k)); k++) {
			if (used < size)
				used += (size_t)snprintf(out + used, size - used, "%s'%s'", count ? ", " : "",
							 json_object_get_string(name));
			count++;
		}
	}
	return count;
}

int disown_check_status(const struct conversion_disk *disk, struct json_object *status, struct sentence *error)
{
	struct json_object *session = object_of(status, "session"), *hold = object_of(status, "hold");
	struct sentence quoted;
	char points[256];

	if (flag_of(session, "active"))
		return report(error, -EBUSY, "disk '%s' is in use by domain '%s'", disk->name,
			      string_of(session, "domain", "?"));
	if (hold)
		return report(error, -EBUSY,
			      "disk '%s' is held for the saved domain '%s': restore it, or give its state up with "
			      "'revertctl reset %s --force'",
			      disk->name, string_of(hold, "domain", "?"), quote_name(disk->name, &quoted));
	if (number_of(status, "clones"))
		return report(error, -EBUSY, "disk '%s' has clones, which stand on its image: remove them first",
			      disk->name);
	if (list_points(status, points, sizeof(points)))
		return report(error, -EBUSY,
			      "disk '%s' has snapshots (%s), which its image cannot hold: export what you need, and "
			      "delete them first",
			      disk->name, points);
	return 0;
}

static int check_is_no_clone(const struct conversion_disk *disk, struct json_object *status, struct sentence *error)
{
	const char *origin = string_of(status, "template", NULL);

	return origin ? report(error, -EINVAL,
			       "disk '%s' is a clone of '%s' and has no image of its own: make one with "
			       "'revertctl clone --full', and give the domain that",
			       disk->name, origin)
		      : 0;
}

int disown_refuse_changes(const struct conversion_disk *disk, struct sentence *error)
{
	return report(error, -EBUSY,
		      "disk '%s' has changes that its image has not: say --changes=commit to keep them, or "
		      "--changes=discard",
		      disk->name);
}

/* Ask on a terminal; elsewhere --changes must say what is to be done. */
static int ask_about_changes(struct disown *disown, const struct conversion_disk *disk, struct sentence *error)
{
	char line[16] = "";

	if (disown->changes != CHANGES_ASK)
		return 0;
	if (!isatty(STDIN_FILENO))
		return disown_refuse_changes(disk, error);
	fprintf(stderr, "Disk '%s' has changes that its image has not. Commit them, discard them, or abort? [c/d/A] ",
		disk->name);
	if (!fgets(line, sizeof(line), stdin) || (line[0] != 'c' && line[0] != 'd'))
		return report(error, -ECANCELED, "nothing was changed");
	disown->changes = line[0] == 'c' ? CHANGES_COMMIT : CHANGES_DISCARD;
	return 0;
}

static int check_disk(struct disown *disown, struct conversion_disk *disk, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	int r = locate_disk(disown, disk, error);

	if (r == 0)
		r = conversion_status(disk, &status, error);
	if (r < 0)
		return r;
	disk->is_disk = status != NULL;
	disk->properties = json_object_get(object_of(status, "properties"));
	disk->to_format = strdup(status ? string_of(status, "format", "qcow2") : disk->from_format);
	if (!disk->to_format)
		return report(error, -ENOMEM, "out of memory");
	if (!status)
		return 0;
	r = check_is_no_clone(disk, status, error);
	if (r == 0)
		r = disown_check_status(disk, status, error);
	if (r == 0 && strcmp(disk_state(status), "dirty") == 0)
		r = ask_about_changes(disown, disk, error);
	return r;
}

static int parse_changes(const struct arguments *arguments, enum changes *ret_changes, struct sentence *error)
{
	const char *text = arguments_value(arguments, "changes");

	*ret_changes = CHANGES_ASK;
	if (text && strcmp(text, "commit") == 0)
		*ret_changes = CHANGES_COMMIT;
	else if (text && strcmp(text, "discard") == 0)
		*ret_changes = CHANGES_DISCARD;
	else if (text)
		return report(error, -EINVAL, "--changes is commit or discard");
	return 0;
}

/* A file without entries says nothing more than no file: it is removed. */
int disown_compose_file(struct disown *disown, struct sentence *error)
{
	const struct config *config = disown->conversion.defined.config;
	bool all = true;

	for (size_t i = 0; i < config->count; i++)
		all &= disown->which[i];
	if (all)
		return 0;
	disown->conversion.file = config_text_remove(config->text, disown->which, config->count);
	return disown->conversion.file ? 0 : report(error, -ENOMEM, "out of memory");
}

static int check(struct disown *disown, const struct arguments *arguments, struct sentence *error)
{
	struct conversion *conversion = &disown->conversion;
	int r = defined_domain_choose(&conversion->defined, arguments, &disown->which, error);
	if (r == 0)
		r = defined_domain_check_off(&conversion->defined, error);
	if (r == 0)
		r = ask_mounts(&conversion->mounts, error);
	if (r == 0)
		domain_xml_follow(conversion->defined.domain, conversion->mounts);
	for (size_t i = 0; r == 0 && i < conversion->defined.config->count; i++)
		if (disown->which[i] && !conversion_add(conversion, conversion->defined.config->disks[i].target))
			r = report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < conversion->count; i++)
		r = check_disk(disown, &conversion->disks[i], error);
	if (r == 0)
		r = disown_compose_file(disown, error);
	return r < 0 ? r : conversion_edit(conversion, error);
}

/* ---- what the images lack */

static int fold(const struct conversion_disk *disk, bool quiet, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *line = strdup("fold");
	struct long_command long_command = {
		.point = disk->mount->point, .name = disk->name, .kind = "fold", .quiet = quiet
	};

	if (!line || command_append(&line, NULL, disk->name) < 0)
		return report(error, -ENOMEM, "out of memory");
	long_command.line = line;
	return long_command_run(&long_command, &answer, error);
}

/* With keep-revisions, commits would stay out of the image. */
static int fold_all(const struct conversion_disk *disk, bool quiet, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	int r = conversion_status(disk, &status, error);

	if (r < 0 || !status || !number_of(status, "depth"))
		return r;
	r = conversion_ask(disk, "set", "keep-revisions", "0", error);
	return r < 0 ? r : fold(disk, quiet, error);
}

int disown_commit_and_fold(struct disown *disown, bool quiet, struct sentence *error)
{
	int r = 0;

	disown->committed = disown->changes == CHANGES_COMMIT;
	for (size_t i = 0; i < disown->conversion.count; i++) {
		const struct conversion_disk *disk = &disown->conversion.disks[i];

		if (disk->is_disk && disown->changes == CHANGES_COMMIT)
			r = conversion_ask(disk, "commit", NULL, NULL, error);
		if (r == 0 && disk->is_disk)
			r = fold_all(disk, quiet, error);
		if (r < 0)
			return report_context(error, r, "the disks are protected as before: ");
	}
	return 0;
}

/* As `set` takes it. */
static const char *property_text(struct json_object *value)
{
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value) ? "yes" : "no";
	return json_object_get_string(value);
}

/*
 * Where disown goes no further, the disks stay, and keep their properties. A disk that was
 * protected again has lost all of them.
 */
void disown_restore_properties(const struct disown *disown)
{
	for (size_t i = 0; i < disown->conversion.count; i++) {
		const struct conversion_disk *disk = &disown->conversion.disks[i];
		struct sentence ignored;

		if (!disk->properties)
			continue;
		json_object_object_foreach (disk->properties, key, value)
			conversion_ask(disk, "set", key, property_text(value), &ignored);
	}
}

/* ---- the steps of the transaction */

int disown_unprotect(void *subject, struct sentence *error)
{
	struct disown *disown = subject;

	for (size_t i = 0; i < disown->conversion.count; i++) {
		struct conversion_disk *disk = &disown->conversion.disks[i];
		int r = 0;

		if (!disk->is_disk)
			continue;
		if (disown->changes == CHANGES_DISCARD)
			r = conversion_ask(disk, "reset", NULL, NULL, error);
		if (r == 0)
			r = conversion_ask(disk, "unprotect", NULL, NULL, error);
		if (r < 0)
			return r;
		disk->acted = true;
	}
	return 0;
}

int disown_protect_again(void *subject, struct sentence *error)
{
	struct disown *disown = subject;
	int result = 0;

	for (size_t i = 0; i < disown->conversion.count; i++) {
		const struct conversion_disk *disk = &disown->conversion.disks[i];
		int r = disk->acted ? conversion_ask(disk, "protect", "format", disk->to_format, error) : 0;

		result = r < 0 ? r : result;
	}
	return result;
}

/* Steps that adopt has as well are given the conversion, which therefore stands first. */
_Static_assert(offsetof(struct disown, conversion) == 0, "the address of a disown is that of its conversion");

static const struct transaction_step transaction[] = {
	{ conversion_write_file, conversion_unwrite_file },
	{ conversion_define, conversion_undefine },
	{ conversion_verify, NULL },
	{ disown_unprotect, disown_protect_again },
};

static int run_disown(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(disown_clear) struct disown disown = { 0 };
	int r = parse_changes(arguments, &disown.changes, error);

	if (r < 0)
		return r;
	r = defined_domain_load(context, arguments->words[0], &disown.conversion.defined, error);
	if (r == -EIO && !disown.conversion.defined.domain)
		return disown_gone(context, arguments, disown.changes, error);
	if (r == 0)
		r = check(&disown, arguments, error);
	if (r < 0)
		return r;
	if (arguments_has(arguments, "dry-run"))
		return conversion_show(&disown.conversion, error);
	r = conversion_try_define(&disown.conversion, error);
	if (r < 0)
		return report_context(error, r, "nothing was changed: ");
	r = disown_commit_and_fold(&disown, context->json, error);
	if (r == 0)
		r = transaction_run(transaction, ARRAY_SIZE(transaction), &disown,
				    disown.committed
					    ? "the domain is protected as before, and its changes are committed"
					    : "everything is as it was",
				    error);
	if (r == 0)
		conversion_print(context, &disown.conversion, "disowned");
	else
		disown_restore_properties(&disown);
	return r;
}

static const struct option_spec disown_options[] = {
	{ "target", "DEV", "just this disk, \"vda\"; may be repeated (all)", NULL },
	{ "changes", "commit|discard", "what becomes of what was written (asks)", NULL },
	{ "dry-run", NULL, "check everything, show the changes, make none", NULL },
	{ 0 },
};
const struct subcommand disown_subcommand = {
	"disown", "DOMAIN|NAME", "give a domain its real images back", disown_options, run_disown, NULL,
};
