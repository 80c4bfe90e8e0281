/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt knows its domains best. Where it does not answer, the daemons know those that run.
 */
#include "named_domain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "domain_xml.h"
#include "retype.h"
#include "status_json.h"
#include "statuses.h"

#define PATIENCE_S 5
#define NAMES_SHOWN 4 /* disks in a sentence */

/* The domain's disks that revertfs serves, for the sentence. */
struct named {
	FILE *list; /* "a.qcow2 (vda), b.img (vdb)" */
	size_t count;
	char *first; /* the first one's name, or its path where several mounts have the name; or NULL */
};

static void add_disk(struct named *named, const struct statuses *statuses, const struct mount *mount, const char *name,
		     const char *target)
{
	if (named->count == NAMES_SHOWN)
		fputs(", ...", named->list);
	else if (named->count < NAMES_SHOWN)
		fprintf(named->list, "%s%s (%s)", named->count ? ", " : "", name, target);
	if (named->count++ == 0)
		named->first =
			statuses_count(statuses, name) > 1 ? format_text("%s/%s", mount->point, name) : strdup(name);
}

static bool ask_libvirt(const struct context *context, const char *word, const struct statuses *statuses,
			struct named *named)
{
	struct virsh virsh = { .uri = context->connect, .timeout_s = PATIENCE_S };
	CLEANUP(domain_freep) struct domain *domain = NULL;

	if (domain_xml_read(&virsh, word, DOMAIN_XML_CURRENT, NULL, &domain, NULL) < 0)
		return false;
	domain_xml_follow(domain, statuses->mounts);
	for (size_t i = 0; i < domain->count; i++) {
		const char *path = domain->disks[i].path, *target = domain->disks[i].target;
		const struct mount *mount = path ? mounts_of_path(statuses->mounts, path) : NULL;

		if (mount && statuses_find(statuses, mount, name_beneath(path, mount->point)))
			add_disk(named, statuses, mount, name_beneath(path, mount->point), target ? target : "?");
	}
	return true;
}

static bool ask_sessions(const char *word, const struct statuses *statuses, struct named *named)
{
	struct json_object *disk;

	for (size_t i = 0; i < statuses->count; i++) {
		for (size_t k = 0; (disk = element_of(statuses->items[i].status, "disks", k)); k++) {
			struct json_object *session = object_of(disk, "session");

			if (strcmp(string_of(session, "domain", ""), word) == 0)
				add_disk(named, statuses, statuses->items[i].mount, string_of(disk, "name", "?"),
					 string_of(session, "target", "?"));
		}
	}
	return named->count > 0;
}

static bool takes_live(const struct arguments *arguments)
{
	for (const struct option_spec *o = arguments->subcommand->options; o && o->name; o++)
		if (strcmp(o->name, "live") == 0)
			return true;
	return false;
}

static void say(const struct context *context, const struct arguments *arguments, const struct named *named,
		const char *list, struct sentence *error)
{
	const char *word = arguments->words[0];
	struct sentence quoted;
	CLEANUP(freep) char *command = named->first ? retype(arguments, named->first) : NULL;
	CLEANUP(freep) char *live = takes_live(arguments) ? retype(arguments, word) : NULL;

	if (!named->count) {
		report(error, 0,
		       "'%s' is a domain, and none of its disks is protected: 'revertctl adopt %s' has them revert",
		       word, quote_name(word, &quoted));
		return;
	}
	report(error, 0, "'%s' is a domain; its disk%s %s: '%s'%s", word, named->count > 1 ? "s are" : " is", list,
	       command ? command : "", named->count > 1 ? " and so on" : "");
	if (live) {
		struct sentence before = *error;

		report(error, 0, "%s, or '%s --live%s%s' for all of it at one instant", before.text, live,
		       context->connect ? " --connect=" : "",
		       context->connect ? quote_name(context->connect, &quoted) : "");
	}
}

void named_domain_explain(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	CLEANUP(statuses_clear) struct statuses statuses = { 0 };
	CLEANUP(freep) char *list = NULL;
	struct named named = { 0 };
	const char *word = arguments->words[0];
	size_t length = 0;
	bool found = false;

	if (strchr(word, '/') || arguments_has(arguments, "live") || ask_mounts(&mounts, NULL) < 0 ||
	    statuses_ask(mounts, &statuses, NULL) < 0 || statuses_count(&statuses, word))
		return;
	named.list = open_memstream(&list, &length);
	if (!named.list)
		return;
	found = ask_libvirt(context, word, &statuses, &named) || ask_sessions(word, &statuses, &named);
	fclose(named.list);
	if (found)
		say(context, arguments, &named, list, error);
	free(named.first);
}
