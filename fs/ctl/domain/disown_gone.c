/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left of a domain that libvirt does not have any more: the file that the hook read for it,
 * and its disks (gone_domain.h). Or one disk, and its entry in the file of such a domain. Both go,
 * or neither. A disk that a domain has which is still there stays; another libvirt than this host's
 * knows nothing of those, and is not believed. No image is removed, and a clone stays a disk: the
 * command that removes it is named.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "disown.h"
#include "gone_domain.h"
#include "host.h"
#include "shown.h"
#include "status_json.h"
#include "verbs.h"

#define OFFERED_MAX 4 /* disks in the output */

struct remains {
	struct disown disown; /* comes first: the steps' subject is a disown */
	struct all_domains domains;
	struct statuses statuses;
	struct gone_domain gone; /* what the file names; empty where there is none */
	bool is_disk;            /* the word is a disk's name */
};

_Static_assert(offsetof(struct remains, disown) == 0, "the address of what remains is that of its disown");

static void clear_remains(struct remains *remains)
{
	disown_clear(&remains->disown);
	gone_domain_clear(&remains->gone);
	statuses_clear(&remains->statuses);
	all_domains_clear(&remains->domains);
}

/* ---- what there is */

/* A daemon that does not answer may have one of the disks. */
static int ask_daemons(struct remains *remains, struct sentence *error)
{
	int r = ask_mounts(&remains->disown.conversion.mounts, error);

	if (r == 0)
		r = statuses_ask(remains->disown.conversion.mounts, &remains->statuses, error);
	for (size_t i = 0; i < remains->statuses.count && r == 0; i++)
		if (!remains->statuses.items[i].status)
			r = report(error, remains->statuses.items[i].error, "%s", remains->statuses.items[i].why.text);
	return r;
}

static void forget_file(struct remains *remains)
{
	gone_domain_clear(&remains->gone);
	defined_domain_clear(&remains->disown.conversion.defined);
}

/*
 * The file of a domain that libvirt does not have, instead of what was loaded before. 1 when there
 * is one, 0 when not.
 */
static int load_file(struct remains *remains, const char *domain, struct sentence *error)
{
	struct defined_domain *defined = &remains->disown.conversion.defined;
	int r;

	forget_file(remains);
	if (!name_is_usable(domain) || all_domains_find(&remains->domains, domain))
		return 0;
	r = config_load(HOST_CONFIG_DIR, domain, &defined->config, error);
	if (r <= 0)
		return r;
	defined->domain = calloc(1, sizeof(*defined->domain));
	if (defined->domain)
		defined->domain->name = strdup(domain);
	if (!defined->domain || !defined->domain->name)
		return report(error, -ENOMEM, "out of memory");
	r = gone_domain_look(defined->config, domain, &remains->statuses, &remains->domains, &remains->gone, error);
	return r < 0 ? r : 1;
}

static int add_disk(struct remains *remains, const char *target, const struct mount *mount, const char *name,
		    struct sentence *error)
{
	struct conversion_disk *disk = conversion_add(&remains->disown.conversion, target);

	if (disk)
		disk->name = strdup(name);
	if (!disk || !disk->name)
		return report(error, -ENOMEM, "out of memory");
	disk->mount = mount;
	return 0;
}

static int choose_entries(struct remains *remains, bool all, struct sentence *error)
{
	remains->disown.which = calloc(remains->gone.count + 1, sizeof(bool));
	for (size_t i = 0; i < remains->gone.count && remains->disown.which; i++)
		remains->disown.which[i] = all;
	return remains->disown.which ? 0 : report(error, -ENOMEM, "out of memory");
}

static int find_domain(struct remains *remains, const char *word, struct sentence *error)
{
	int found = load_file(remains, word, error);
	int r = found > 0 ? choose_entries(remains, true, error) : found;

	for (size_t i = 0; i < remains->gone.count && r == 0; i++) {
		const struct gone_disk *disk = &remains->gone.disks[i];

		if (disk->status)
			r = add_disk(remains, disk->target, disk->mount, disk->name, error);
	}
	return r < 0 ? r : found;
}

/* ---- a disk's name */

struct search {
	struct remains *remains;
	const struct mount *mount;
	const char *name;
	size_t entry; /* the one that was found */
	bool found;
};

/* A file that cannot be read is no reason to leave the disk as it is: doctor has a word on that. */
static void look_into_file(void *context, const char *domain)
{
	struct search *search = context;
	const struct gone_domain *gone = &search->remains->gone;
	struct sentence ignored;

	if (search->found || load_file(search->remains, domain, &ignored) <= 0)
		return;
	for (size_t i = 0; i < gone->count && !search->found; i++) {
		search->entry = i;
		search->found = gone->disks[i].mount == search->mount && gone->disks[i].name &&
				strcmp(gone->disks[i].name, search->name) == 0;
	}
}

static const struct mount *mount_at(const struct statuses *statuses, const char *point)
{
	for (size_t i = 0; i < statuses->count; i++)
		if (strcmp(statuses->items[i].mount->point, point) == 0)
			return statuses->items[i].mount;
	return NULL;
}

static int find_disk(struct remains *remains, const struct context *context, const char *word, struct sentence *error)
{
	CLEANUP(freep) char *point = NULL;
	CLEANUP(freep) char *name = NULL;
	struct search search = { .remains = remains };
	int r = ask_find_mount(context, word, &point, &name, error);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	search.mount = mount_at(&remains->statuses, point);
	search.name = name;
	if (!search.mount || !statuses_find(&remains->statuses, search.mount, name))
		return 0;
	host_visit_files(look_into_file, &search);
	if (!search.found)
		forget_file(remains);
	r = choose_entries(remains, false, error);
	if (r == 0 && search.found)
		remains->disown.which[search.entry] = true;
	if (r == 0)
		r = add_disk(remains, search.found ? remains->gone.disks[search.entry].target : "", search.mount, name,
			     error);
	remains->is_disk = true;
	return r < 0 ? r : 1;
}

/* ---- checks */

static int refuse_user(const struct remains *remains, const struct conversion_disk *disk, const char *user,
		       const char *target, struct sentence *error)
{
	const struct config *config = remains->disown.conversion.defined.config;
	struct sentence quoted;

	if (remains->is_disk || !config)
		return report(error, -EBUSY,
			      "disk '%s' is domain '%s''s disk '%s': 'revertctl disown %s --target %s' gives that its "
			      "image back",
			      disk->name, user, target, quote_name(user, &quoted), target);
	return report(error, -EBUSY,
		      "disk '%s' is domain '%s''s disk '%s' now: remove '%s', or give it that domain's name",
		      disk->name, user, target, config->shown);
}

static int check_disk(struct remains *remains, struct conversion_disk *disk, struct sentence *error)
{
	struct json_object *status = statuses_find(&remains->statuses, disk->mount, disk->name);
	const char *target = NULL;
	const struct domain *user = all_domains_find_user(&remains->domains, disk->mount, disk->name, &target);
	int r;

	if (user)
		return refuse_user(remains, disk, user->name, target, error);
	if (string_of(status, "template", NULL))
		return 0;
	disk->is_disk = true;
	disk->properties = json_object_get(object_of(status, "properties"));
	disk->to_format = strdup(string_of(status, "format", "qcow2"));
	if (!disk->to_format)
		return report(error, -ENOMEM, "out of memory");
	r = disown_check_status(disk, status, error);
	if (r == 0 && strcmp(disk_state(status), "dirty") == 0 && remains->disown.changes == CHANGES_ASK)
		r = disown_refuse_changes(disk, error);
	return r;
}

/* 1 when something of this name was found, 0 when not. */
static int check(struct remains *remains, const struct context *context, const struct arguments *arguments,
		 struct sentence *error)
{
	struct conversion *conversion = &remains->disown.conversion;
	int found, r;

	found = find_domain(remains, arguments->words[0], error);
	if (found == 0)
		found = find_disk(remains, context, arguments->words[0], error);
	if (found <= 0)
		return found;
	if (arguments_has(arguments, "target"))
		return report(error, -EINVAL, "--target is for a domain that libvirt has: name the disk instead");
	r = conversion->defined.config ? disown_compose_file(&remains->disown, error) : 0;
	for (size_t i = 0; i < conversion->count && r == 0; i++)
		r = check_disk(remains, &conversion->disks[i], error);
	return r < 0 ? r : 1;
}

/* ---- what is said */

static void print_answer(const struct remains *remains, const char *word, bool dry)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();
	struct json_object *list = json_object_new_array();
	const struct conversion *conversion = &remains->disown.conversion;

	json_set_bool(answer, "ok", true);
	if (dry)
		json_set_bool(answer, "dry_run", true);
	json_set_string(answer, "disowned", word);
	for (size_t i = 0; i < conversion->count; i++) {
		struct json_object *disk = json_object_new_object();

		json_set_string(disk, "target", conversion->disks[i].target);
		json_set_string(disk, "name", conversion->disks[i].name);
		json_set_string(disk, "mount", conversion->disks[i].mount->point);
		json_set_bool(disk, "clone", !conversion->disks[i].is_disk);
		json_object_array_add(list, disk);
	}
	json_object_object_add(answer, "disks", list);
	json_set_string(answer, "file", conversion->defined.config ? conversion->defined.config->path : NULL);
	print_json(answer);
}

/* Disks that no domain has, one of which may have been the domain's. */
static void offer_disks(const struct remains *remains)
{
	size_t count = 0;

	for (size_t i = 0; i < remains->statuses.count; i++) {
		const struct mount_status *item = &remains->statuses.items[i];
		struct json_object *disk;

		for (size_t k = 0; (disk = element_of(item->status, "disks", k)) && count < OFFERED_MAX; k++) {
			const char *name = string_of(disk, "name", "?"), *target;
			CLEANUP(freep) char *path = format_text("%s/%s", item->mount->point, name);
			struct sentence quoted;

			if (!path || all_domains_find_user(&remains->domains, item->mount, name, &target))
				continue;
			printf("  no domain has '%s': 'revertctl disown %s' ends its protection\n", name,
			       quote_name(path, &quoted));
			count++;
		}
	}
}

static void print_disk(const struct conversion_disk *disk, bool dry)
{
	CLEANUP(freep) char *path = format_text("%s/%s", disk->mount->point, disk->name);
	struct sentence quoted;

	printf("  %s: %s; 'rm %s' removes %s\n", disk->name,
	       !disk->is_disk ? "a clone, which stays"
	       : dry          ? "would no longer be protected"
			      : "no longer protected",
	       path ? quote_name(path, &quoted) : "", disk->is_disk ? "its image" : "it");
}

static void print(const struct context *context, const struct remains *remains, const char *word, bool dry)
{
	const struct conversion *conversion = &remains->disown.conversion;
	bool unknown = false;

	if (context->json) {
		print_answer(remains, word, dry);
		return;
	}
	printf("%s: %s\n", word, dry ? "nothing was changed" : "disowned");
	for (size_t i = 0; i < conversion->count; i++)
		print_disk(&conversion->disks[i], dry);
	if (conversion->defined.config)
		printf("  %s: %s%s\n", conversion->defined.config->shown, dry ? "would be " : "",
		       conversion->file ? "written" : "removed");
	for (size_t i = 0; i < remains->gone.count && !remains->is_disk; i++) {
		if (remains->gone.disks[i].name &&
		    !(statuses_count(&remains->statuses, remains->gone.disks[i].name) > 1))
			continue;
		printf("  %s: which disk that was is not known\n", remains->gone.disks[i].target);
		unknown = true;
	}
	if (unknown)
		offer_disks(remains);
}

/* ---- the steps */

static const struct transaction_step transaction[] = {
	{ conversion_write_file, conversion_unwrite_file },
	{ disown_unprotect, disown_protect_again },
};

static int change(struct remains *remains, bool quiet, struct sentence *error)
{
	struct disown *disown = &remains->disown;
	int r = disown_commit_and_fold(disown, quiet, error);

	if (r == 0)
		r = transaction_run(transaction, ARRAY_SIZE(transaction), disown,
				    disown->committed ? "the disks are protected as before, and changes are committed"
						      : "everything is as it was",
				    error);
	if (r < 0)
		disown_restore_properties(disown);
	return r;
}

int disown_gone(const struct context *context, const struct arguments *arguments, enum changes changes,
		struct sentence *error)
{
	CLEANUP(clear_remains) struct remains remains = { .disown.changes = changes };
	struct virsh virsh = { .uri = context->connect };
	bool dry = arguments_has(arguments, "dry-run");
	int r = ask_daemons(&remains, error);

	if (r == 0)
		r = virsh_check_host(&virsh, error);
	if (r == 0)
		r = all_domains_read(&virsh, remains.disown.conversion.mounts, &remains.domains, error);
	if (r == 0)
		r = check(&remains, context, arguments, error);
	if (r == 0)
		return report(
			error, -ENOENT,
			"libvirt has no domain '%s', and there is no disk of this name, nor a file '" HOST_CONFIG_DIR
			"/%s.json'",
			arguments->words[0], arguments->words[0]);
	if (r > 0)
		r = dry ? 0 : change(&remains, context->json, error);
	if (r == 0)
		print(context, &remains, arguments->words[0], dry);
	return r;
}
