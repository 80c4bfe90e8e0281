/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * adopt: a defined domain goes into protection in one step.
 *
 * Everything is checked before anything is changed, at last by the hook's own policy (plan.h), so
 * that a domain that is adopted will also start. The changes then follow, each with its undo:
 * protect the images, write the domain's file, define the new XML, and see that libvirt has it. The
 * file comes before the definition: a start in between is refused by the hook, instead of running
 * on the real image.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "config_text.h"
#include "conversion.h"
#include "domain_xml.h"
#include "hooklog.h"
#include "host.h"
#include "other_hooks.h"
#include "plan.h"
#include "renaming_hook.h"
#include "shown.h"
#include "status_json.h"
#include "subcommands.h"

/* ---- which disks */

static bool may_be_a_disk(const struct domain_disk *disk)
{
	return !disk->device || strcmp(disk->device, "disk") == 0;
}

static int choose(struct conversion *conversion, const struct arguments *arguments, struct sentence *error)
{
	const struct domain *domain = conversion->defined.domain;
	const char *target;
	size_t place = 0;

	while ((target = arguments_next(arguments, "target", &place))) {
		const struct domain_disk *disk = domain_find(domain, target);

		if (!disk)
			return report(error, -ENOENT, "domain '%s' has no disk '%s'", domain->name, target);
		if (!conversion_add(conversion, disk->target))
			return report(error, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < domain->count && !arguments_has(arguments, "target"); i++)
		if (may_be_a_disk(&domain->disks[i]) && !conversion_add(conversion, domain->disks[i].target))
			return report(error, -ENOMEM, "out of memory");
	return conversion->count ? 0 : report(error, -ENOENT, "domain '%s' has no disk", domain->name);
}

/* ---- where their images are */

static int refuse_location(const struct conversion *conversion, const struct conversion_disk *disk,
			   struct sentence *error)
{
	const struct mount *first = mounts_next(conversion->mounts, NULL);

	return report(error, -EINVAL,
		      "disk '%s': '%s' lies in no images directory of a revertfs (there is '%s'): move it there, "
		      "or leave this disk out with --target",
		      disk->target, disk->from, first->images);
}

/*
 * A symbolic link in the path is followed only where the path as it stands lies in no mount and no
 * images directory, so that no mount is touched.
 */
static int locate_image(const struct conversion *conversion, struct conversion_disk *disk, struct sentence *error)
{
	CLEANUP(freep) char *real = NULL;
	const char *path = disk->from;

	disk->mount = mounts_of_path(conversion->mounts, path);
	if (disk->mount) {
		disk->to = strdup(path);
		disk->name = strdup(name_beneath(path, disk->mount->point));
		return disk->to && disk->name ? 0 : report(error, -ENOMEM, "out of memory");
	}
	disk->mount = mounts_of_image(conversion->mounts, path);
	if (!disk->mount) {
		path = real = realpath(path, NULL);
		disk->mount = real ? mounts_of_image(conversion->mounts, real) : NULL;
	}
	if (!disk->mount)
		return refuse_location(conversion, disk, error);
	disk->name = strdup(name_beneath(path, disk->mount->images));
	disk->to = disk->name ? format_text("%s/%s", disk->mount->point, disk->name) : NULL;
	return disk->to ? 0 : report(error, -ENOMEM, "out of memory");
}

/*
 * An external snapshot that a backup left behind: on a disk of a mount, as the hook says it, or on
 * an image that is still to be protected, where the domain can start.
 */
static int check_no_snapshot(const struct conversion *conversion, const struct domain_disk *disk,
			     struct sentence *error)
{
	const struct domain *domain = conversion->defined.domain;
	struct event event = { .domain = domain->name };
	struct situation situation = { .event = &event, .domain = domain, .mounts = conversion->mounts };
	struct sentence quoted;
	const char *name;
	int r;

	shown_text(domain->name, event.shown, sizeof(event.shown));
	name = quote_name(event.shown, &quoted);
	r = plan_refuse_snapshot(&situation, disk, error);
	if (r < 0 || !disk->chain_length)
		return r;
	return report(
		error, -EINVAL,
		"disk '%s': its source '%s' is an overlay on '%s', as an external snapshot is that was left "
		"behind: start the domain and 'virsh blockcommit %s %s --active --pivot --wait', which keeps what "
		"it has, or set the source back to that and remove <backingStore> with 'virsh edit %s', which drops "
		"it",
		disk->target, disk->path, disk->chain[disk->chain_length - 1], name, disk->target, name);
}

static int locate_disk(const struct conversion *conversion, struct conversion_disk *disk, struct sentence *error)
{
	const struct domain_disk *xml = domain_find(conversion->defined.domain, disk->target);
	int r;

	if (!may_be_a_disk(xml))
		return report(error, -EINVAL, "'%s' is a %s, and only disks can be protected", disk->target,
			      xml->device);
	if (xml->type && strcmp(xml->type, "file") != 0 && strcmp(xml->type, "volume") != 0)
		return report(error, -EINVAL, "disk '%s' is of type '%s', and only files can be protected",
			      disk->target, xml->type);
	if (!xml->path || xml->path[0] != '/')
		return report(error, -EINVAL, "disk '%s': %s", disk->target,
			      xml->problem ? xml->problem : "it has no source");
	if (xml->misfit)
		return report(error, -EINVAL, "disk '%s' %s: leave this disk out with --target", disk->target,
			      xml->misfit);
	r = check_no_snapshot(conversion, xml, error);
	if (r < 0)
		return r;
	disk->from = strdup(xml->path);
	disk->from_format = strdup(xml->format ? xml->format : "raw");
	disk->to_format = strdup("qcow2");
	if (!disk->from || !disk->from_format || !disk->to_format)
		return report(error, -ENOMEM, "out of memory");
	if (strcmp(disk->from_format, "raw") != 0 && strcmp(disk->from_format, "qcow2") != 0)
		return report(error, -EINVAL, "disk '%s' is of format '%s', and images are raw or qcow2", disk->target,
			      disk->from_format);
	return locate_image(conversion, disk, error);
}

/* ---- whether they are free */

static int check_free(struct conversion_disk *disk, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *status = NULL;
	struct json_object *session, *hold;
	int r = conversion_status(disk, &status, error);

	if (r < 0 || !status)
		return r;
	disk->is_disk = true;
	session = object_of(status, "session");
	hold = object_of(status, "hold");
	if (flag_of(session, "active"))
		return report(error, -EBUSY, "disk '%s': '%s' is in use by domain '%s'", disk->target, disk->name,
			      string_of(session, "domain", "?"));
	if (hold)
		return report(error, -EBUSY, "disk '%s': '%s' is held for the saved domain '%s'", disk->target,
			      disk->name, string_of(hold, "domain", "?"));
	return 0;
}

static bool moves(const struct conversion_disk *disk)
{
	return strcmp(disk->from, disk->to) != 0;
}

static bool is_adopted(const struct conversion *conversion, const char *target)
{
	for (size_t i = 0; i < conversion->count; i++)
		if (strcmp(conversion->disks[i].target, target) == 0)
			return true;
	return false;
}

/* Of the domain itself, the disks that stay as they are. */
static int check_domain(const struct conversion *conversion, const char *name, struct sentence *error)
{
	CLEANUP(domain_freep) struct domain *domain = NULL;
	struct sentence ignored;
	bool itself;

	/* A domain that goes away meanwhile uses nothing. */
	if (domain_xml_read(&conversion->defined.virsh, name, DOMAIN_XML_INACTIVE, NULL, &domain, &ignored) < 0)
		return 0;
	domain_xml_follow(domain, conversion->mounts);
	itself = strcmp(domain->uuid, conversion->defined.domain->uuid) == 0;
	for (size_t i = 0; i < conversion->count; i++)
		for (size_t k = 0; k < domain->count; k++)
			if (moves(&conversion->disks[i]) &&
			    domain_disk_uses(&domain->disks[k], conversion->disks[i].from) &&
			    !(itself && is_adopted(conversion, domain->disks[k].target)))
				return report(
					error, -EBUSY,
					"disk '%s': domain '%s' uses '%s', too, as its disk '%s', and would go on with the real "
					"image: give it another disk first",
					conversion->disks[i].target, name, conversion->disks[i].from,
					domain->disks[k].target);
	return 0;
}

static int check_domains(const struct conversion *conversion, struct sentence *error)
{
	CLEANUP(virsh_free_names) char **names = NULL;
	int r = virsh_domain_names(&conversion->defined.virsh, &names, error);

	for (char **name = names; r == 0 && *name; name++)
		r = check_domain(conversion, *name, error);
	return r;
}

/* ---- what libvirt has of the domain besides */

/*
 * libvirt goes on using the real images' paths for snapshots from before, so a revert to one would
 * write past the mount. Where the mount lies over the images, it fails instead.
 */
static int check_snapshots(struct conversion *conversion, struct sentence *error)
{
	const char *name = conversion->defined.domain->name;
	CLEANUP(virsh_free_names) char **names = NULL;
	CLEANUP(freep) char *list = NULL;
	CLEANUP(freep) char *forget = NULL;
	bool any_moves = false;
	int r = virsh_names_of(&conversion->defined.virsh, "snapshot-list", conversion->defined.domain->uuid, &names,
			       error);

	if (r < 0 || !names || !*names)
		return r;
	for (size_t i = 0; i < conversion->count; i++)
		any_moves |= moves(&conversion->disks[i]);
	list = virsh_show_names(names);
	forget = virsh_say_forget("snapshot-delete", name, names[0]);
	if (any_moves)
		return report(
			error, -EBUSY,
			"libvirt has snapshots of domain '%s' (%s), and a revert to one would write the real image "
			"past the mount: %s, which leaves it in the image, and so on with each; or delete it without "
			"--metadata",
			name, list ? list : "", forget ? forget : "");
	conversion_warn(conversion,
			"libvirt has snapshots of it (%s), which are not in what is served: a revert to one fails. "
			"%s.",
			list ? list : "", forget ? forget : "");
	return 0;
}

/* A libvirt that knows no checkpoints has none. */
static void look_for_checkpoints(struct conversion *conversion)
{
	CLEANUP(virsh_free_names) char **names = NULL;
	CLEANUP(freep) char *list = NULL;
	CLEANUP(freep) char *forget = NULL;

	if (virsh_names_of(&conversion->defined.virsh, "checkpoint-list", conversion->defined.domain->uuid, &names,
			   NULL) < 0 ||
	    !names || !*names)
		return;
	list = virsh_show_names(names);
	forget = virsh_say_forget("checkpoint-delete", conversion->defined.domain->name, names[0]);
	conversion_warn(conversion,
			"libvirt has checkpoints of it (%s): an incremental backup from one is refused from now on, "
			"make a full one. %s.",
			list ? list : "", forget ? forget : "");
}

/* After a renaming hook, the flag may be one of a session that is over. */
static void look_for_armed(struct conversion *conversion)
{
	const char *name = conversion->defined.domain->name;
	struct sentence quoted;

	for (size_t i = 0; i < conversion->count; i++) {
		const char *target = conversion->disks[i].target;
		const struct config *config = conversion->defined.config;
		const struct config_disk *entry = config ? config_find(config, target) : NULL;

		if (entry && entry->one_shot_commit)
			conversion_warn(
				conversion,
				"'one-shot-commit' of %s is true in its file: what the first session writes is kept. "
				"'revertctl discard-next %s --target=%s' sets it to false.",
				target, quote_name(name, &quoted), target);
	}
}

/* ---- the new file and definition */

static int compose_file(struct conversion *conversion, struct sentence *error)
{
	const struct config *config = conversion->defined.config;
	CLEANUP(freep) const char **targets = calloc(conversion->count + 1, sizeof(*targets));
	size_t count = 0;

	for (size_t i = 0; targets && i < conversion->count; i++)
		if (!config || !config_find(config, conversion->disks[i].target))
			targets[count++] = conversion->disks[i].target;
	if (targets && config)
		conversion->file = count ? config_text_add(config->text, targets, count) : strdup(config->text);
	else if (targets)
		conversion->file = config_text_new(targets, count);
	return conversion->file ? 0 : report(error, -ENOMEM, "out of memory");
}

/*
 * Ask those who decide whether the new definition starts: the hook's policy, and the daemons. Of an
 * image that is to be protected the definition says what it is; of one that has not got its name
 * back, renaming_hook_look() has asked them.
 */
static int ask_whether_it_starts(const struct conversion *conversion, struct sentence *error)
{
	CLEANUP(freep) struct config_disk *entries = calloc(conversion->count, sizeof(*entries));
	CLEANUP(domain_freep) struct domain *domain = NULL;
	struct config config = { .shown = (char *)"its file", .disks = entries, .count = conversion->count };
	bool all_are_there = true;
	int r = entries ? domain_parse(conversion->after, strlen(conversion->after), &domain, error)
			: report(error, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	domain_xml_follow(domain, conversion->mounts);
	for (size_t i = 0; i < conversion->count; i++) {
		const struct conversion_disk *disk = &conversion->disks[i];

		all_are_there &= !renaming_hook_has_aside(disk);
		entries[i] = (struct config_disk){
			.target = disk->target,
			.format = disk->is_disk ? NULL : renaming_hook_format(conversion, disk),
		};
	}
	r = defined_domain_ask_hook(domain, &config, conversion->mounts, error);
	return r < 0 || !all_are_there ? r
				       : defined_domain_ask_daemons(&conversion->defined.virsh, domain, &config,
								    conversion->mounts, error);
}

/* A renaming hook that is gone when its domain ends leaves the overlay in the image's place. */
static int check_off(const struct conversion *conversion, struct sentence *error)
{
	CLEANUP(virsh_free_names) char **hooks = NULL;
	struct sentence why;
	int r = defined_domain_check_off(&conversion->defined, &why);

	if (r < 0)
		hooks = other_hooks_find();
	if (r < 0)
		report(error, r, "%s%s%s%s", why.text, hooks ? ", and leave the hook '" : "", hooks ? hooks[0] : "",
		       hooks ? "' where it is until then" : "");
	return r;
}

static int check_hooks(struct sentence *error)
{
	int r = host_check_hook(error);

	return r < 0 ? r : other_hooks_refuse(error);
}

static int check(struct conversion *conversion, const struct context *context, const struct arguments *arguments,
		 struct sentence *error)
{
	int r = renaming_hook_parse(arguments, &conversion->renaming_hook, error);

	if (r == 0)
		r = defined_domain_load(context, arguments->words[0], &conversion->defined, error);
	if (r == 0)
		r = check_off(conversion, error);
	if (r == 0)
		r = ask_mounts(&conversion->mounts, error);
	if (r == 0)
		domain_xml_follow(conversion->defined.domain, conversion->mounts);
	if (r == 0)
		r = choose(conversion, arguments, error);
	for (size_t i = 0; i < conversion->count && r == 0; i++)
		r = locate_disk(conversion, &conversion->disks[i], error);
	for (size_t i = 0; i < conversion->count && r == 0; i++)
		r = check_free(&conversion->disks[i], error);
	if (r == 0)
		r = renaming_hook_look(conversion, error);
	if (r == 0)
		r = conversion_edit(conversion, error);
	if (r == 0)
		r = compose_file(conversion, error);
	if (r == 0)
		r = ask_whether_it_starts(conversion, error);
	if (r == 0)
		r = check_domains(conversion, error);
	if (r == 0)
		r = check_snapshots(conversion, error);
	if (r < 0)
		return r;
	look_for_checkpoints(conversion);
	look_for_armed(conversion);
	return check_hooks(error);
}

/* ---- the steps of the transaction */

/*
 * The definition says what the image is. Probing the image instead could find what a guest wrote.
 */
static int protect(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;

	for (size_t i = 0; i < conversion->count; i++) {
		struct conversion_disk *disk = &conversion->disks[i];
		int r = disk->is_disk ? 0
				      : conversion_ask(disk, "protect", "format",
						       renaming_hook_format(conversion, disk), error);

		if (r < 0)
			return r;
		disk->acted = !disk->is_disk;
	}
	return 0;
}

static int unprotect(void *subject, struct sentence *error)
{
	struct conversion *conversion = subject;
	int result = 0;

	for (size_t i = 0; i < conversion->count; i++) {
		int r = conversion->disks[i].acted
				? conversion_ask(&conversion->disks[i], "unprotect", NULL, NULL, error)
				: 0;

		result = r < 0 ? r : result;
	}
	return result;
}

/* The domain's file names targets alone: the log is where their disks can be found later. */
static void note(const struct conversion *conversion)
{
	CLEANUP(freep) char *user = host_user();
	CLEANUP(freep) char *what = format_text("adopted by %s", user ? user : "?");
	char shown[256];

	shown_text(conversion->defined.domain->name, shown, sizeof(shown));
	for (size_t i = 0; i < conversion->count && what; i++)
		hooklog(HOST_HOOK_LOG, shown, HOOKLOG_DISK "%s", what, conversion->disks[i].target,
			conversion->disks[i].name, "reverts from now on");
}

static const struct transaction_step transaction[] = {
	{ renaming_hook_restore, renaming_hook_put_back },
	{ protect, unprotect },
	{ conversion_write_file, conversion_unwrite_file },
	{ conversion_define, conversion_undefine },
	{ conversion_verify, NULL },
};

static int show(const struct conversion *conversion, struct sentence *error)
{
	int r = conversion_show(conversion, error);

	if (r < 0)
		return r;
	renaming_hook_show(conversion);
	if (conversion->warning)
		printf("%s\n", conversion->warning);
	return 0;
}

static int run_adopt(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(conversion_clear) struct conversion conversion = { 0 };
	struct sentence quoted;
	int r = check(&conversion, context, arguments, error);

	if (r < 0)
		return r;
	if (arguments_has(arguments, "dry-run"))
		return show(&conversion, error);
	r = transaction_run(transaction, ARRAY_SIZE(transaction), &conversion, "everything is as it was", error);
	if (r < 0)
		return r;
	note(&conversion);
	conversion_print(context, &conversion, "adopted");
	if (context->json)
		return 0;
	renaming_hook_print(&conversion);
	printf("Its disks revert whenever it ends. 'revertctl commit-once %s' keeps what one session writes.\n",
	       quote_name(conversion.defined.domain->name, &quoted));
	return 0;
}

static const struct option_spec adopt_options[] = {
	{ "target", "DEV", "just this disk, \"vda\"; may be repeated (all disks)", NULL },
	{ "dry-run", NULL, "check everything, show the changes, make none", NULL },
	RENAMING_HOOK_OPTION,
	{ 0 },
};
const struct subcommand adopt_subcommand = {
	"adopt", "DOMAIN", "have a libvirt domain's disks revert from now on", adopt_options, run_adopt, NULL,
};
