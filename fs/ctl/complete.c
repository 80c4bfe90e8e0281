/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * complete: for the shells. Prints what could stand at the end of the line, one candidate a line.
 * Exit status 10 says that files could, which the shell knows better. A hint must come at once: a
 * daemon that does not answer soon counts as one without disks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "ask.h"
#include "completion.h"
#include "host.h"
#include "status_json.h"
#include "subcommands.h"
#include "virsh.h"

#define EXIT_FILES 10
#define PATIENCE_MS 2000
#define PATIENCE_S 5

static void add_mounts(const struct unfinished *unfinished, struct candidates *candidates)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;

	if (ask_mounts(&mounts, NULL) < 0)
		return;
	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m))
		candidates_add(candidates, unfinished, m->point);
}

static void add_domains(const struct unfinished *unfinished, struct candidates *candidates)
{
	struct virsh virsh = { .uri = unfinished->connect, .timeout_s = PATIENCE_S };
	CLEANUP(virsh_free_names) char **names = NULL;

	if (virsh_domain_names(&virsh, &names, NULL) < 0)
		return;
	for (char **name = names; *name; name++)
		candidates_add(candidates, unfinished, *name);
}

/* Domains that have a file; the shells show a candidate that comes twice just once. */
struct files {
	const struct unfinished *unfinished;
	struct candidates *candidates;
};

static void add_file(void *context, const char *domain)
{
	struct files *files = context;

	candidates_add(files->candidates, files->unfinished, domain);
}

static void add_points(const struct unfinished *unfinished, struct candidates *candidates, struct json_object *disk)
{
	struct json_object *layer, *name;

	for (size_t i = 0; (layer = element_of(disk, "layers", i)); i++)
		for (size_t k = 0; (name = element_of(layer, "names", k)); k++)
			candidates_add(candidates, unfinished, json_object_get_string(name));
}

static void add_from_status(const struct unfinished *unfinished, struct candidates *candidates,
			    struct json_object *status)
{
	struct json_object *disk;

	for (size_t i = 0; (disk = element_of(status, "disks", i)); i++) {
		const char *name = string_of(disk, "name", "");

		if (unfinished->kind != COMPLETE_POINTS)
			candidates_add(candidates, unfinished, name);
		else if (unfinished->disk && strcmp(unfinished->disk, name) == 0)
			add_points(unfinished, candidates, disk);
	}
}

static void add_disks(const struct unfinished *unfinished, struct candidates *candidates)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;

	if (ask_mounts(&mounts, NULL) < 0)
		return;
	for (const struct mount *m = mounts_next(mounts, NULL); m; m = mounts_next(mounts, m)) {
		struct question question = { .point = m->point, .file = "status.json", .timeout_ms = PATIENCE_MS };
		CLEANUP(json_putp) struct json_object *status = NULL;

		if (unfinished->mount && strcmp(unfinished->mount, m->point) != 0)
			continue;
		client_ask(&question, 1, true);
		if (question.answer && answer_parse(question.answer, &status) == 0)
			add_from_status(unfinished, candidates, status);
		free(question.answer);
	}
}

static int run_complete(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(candidates_clear) struct candidates candidates = { 0 };
	struct unfinished unfinished;
	struct files files = { &unfinished, &candidates };

	(void)error;
	completion_parse(context->subcommands, arguments->words, arguments->word_count, &unfinished, &candidates);
	if (unfinished.kind == COMPLETE_DOMAINS || unfinished.kind == COMPLETE_REMAINS ||
	    unfinished.kind == COMPLETE_DISKS_AND_DOMAINS)
		add_domains(&unfinished, &candidates);
	if (unfinished.kind == COMPLETE_REMAINS)
		host_visit_files(add_file, &files);
	if (unfinished.kind == COMPLETE_DISKS || unfinished.kind == COMPLETE_POINTS ||
	    unfinished.kind == COMPLETE_REMAINS || unfinished.kind == COMPLETE_DISKS_AND_DOMAINS)
		add_disks(&unfinished, &candidates);
	else if (unfinished.kind == COMPLETE_MOUNTS)
		add_mounts(&unfinished, &candidates);
	for (size_t i = 0; i < candidates.count; i++)
		printf("%s\n", candidates.items[i]);
	return unfinished.kind == COMPLETE_FILES ? EXIT_FILES : 0;
}

const struct subcommand complete_subcommand = {
	"complete", "[WORD...]", "for the shells' completion: what could come next", NULL, run_complete, NULL,
};
