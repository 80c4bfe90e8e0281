/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export: a flat copy of a disk, or with --live of all protected disks of a domain, and what is to
 * be done with it then.
 *
 * A running guest is paused for the snapshot alone; the copies are made of that, one after the
 * other, while it goes on. The snapshot is deleted before anybody's program is run. All is copied
 * before the first is run: what is uploaded belongs together.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "ask.h"
#include "live_command.h"
#include "post_hook.h"
#include "subcommands.h"
#include "verbs.h"
#include "long_command.h"

/* One copy; but for the path and the answer all is borrowed. */
struct copy {
	const char *point, *name; /* the mount, and the disk in it */
	const char *target;       /* of a domain's disk, or NULL */
	char *path;
	struct json_object *answer;
};

struct copies {
	struct copy *items;
	size_t count;
};

static void copies_clear(struct copies *copies)
{
	for (size_t i = 0; copies->items && i < copies->count; i++) {
		free(copies->items[i].path);
		json_object_put(copies->items[i].answer);
	}
	free(copies->items);
}

/* ---- where to */

static bool is_directory(const char *path)
{
	struct stat stat_;

	return path[0] && (path[strlen(path) - 1] == '/' || (stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode)));
}

/* One disk goes to the file, several to the directory, which is made: a file for each target. */
static char *path_for(const char *to, const char *target, size_t count, const char *format, struct sentence *error)
{
	CLEANUP(freep) char *path = NULL;

	if (!target || (count == 1 && !is_directory(to)))
		return absolute_path(to, error);
	if (mkdir(to, 0777) < 0 && errno != EEXIST) {
		report(error, -errno, "the directory '%s' cannot be made: %s", to, error_text(-errno));
		return NULL;
	}
	path = format_text("%s/%s.%s", to, target, format);
	if (!path)
		report(error, -ENOMEM, "out of memory");
	return path ? absolute_path(path, error) : NULL;
}

static int choose_paths(const struct arguments *arguments, struct copies *copies, struct sentence *error)
{
	const char *to = arguments_value(arguments, "to"), *format = arguments_value(arguments, "format");

	for (size_t i = 0; i < copies->count; i++) {
		struct copy *copy = &copies->items[i];

		copy->path = path_for(to, copy->target, copies->count, format ? format : "qcow2", error);
		if (!copy->path)
			return -ENOENT;
	}
	return 0;
}

/* ---- copying */

/* As if it had been given on the command line. */
static void give_option(struct arguments *arguments, const char *name, const char *value)
{
	const struct option_spec *spec = arguments->subcommand->options;
	size_t i = 0;

	while (strcmp(spec->name, name) != 0)
		spec++;
	while (i < arguments->option_count && arguments->options[i].spec != spec)
		i++;
	if (i == ARGUMENTS_MAX)
		return;
	arguments->options[i] = (struct given_option){ spec, value };
	if (i == arguments->option_count)
		arguments->option_count++;
}

static int copy_out(const struct context *context, const struct arguments *arguments, const char *snapshot,
		    struct copy *copy, struct sentence *error)
{
	CLEANUP(freep) char *line = NULL;
	struct long_command long_command = {
		.kind = "export", .point = copy->point, .name = copy->name, .to = copy->path, .quiet = context->json
	};
	struct arguments own = *arguments;
	int r;

	give_option(&own, "to", copy->path);
	if (snapshot)
		give_option(&own, "point", snapshot);
	r = verb_line(&own, copy->name, &line, error);
	long_command.line = line;
	return r < 0 ? r : long_command_run(&long_command, &copy->answer, error);
}

static int copy_all(const struct context *context, const struct arguments *arguments, const char *snapshot,
		    struct copies *copies, struct sentence *error)
{
	for (size_t i = 0; i < copies->count; i++) {
		int r = copy_out(context, arguments, snapshot, &copies->items[i], error);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the user's program */

static int run_hook(const struct context *context, const struct arguments *arguments, const char *domain,
		    const struct copies *copies, struct sentence *error)
{
	const char *program = arguments_value(arguments, "post-hook"), *format = arguments_value(arguments, "format");

	for (size_t i = 0; program && i < copies->count; i++) {
		const struct copy *copy = &copies->items[i];
		struct post_hook_file file = { .file = copy->path,
					       .disk = copy->name,
					       .domain = domain,
					       .target = copy->target,
					       .snapshot = arguments_value(arguments, "point"),
					       .format = format ? format : "qcow2" };
		int r;

		json_get_string(copy->answer, "consistency", &file.consistency);
		json_get_string(copy->answer, "sha256", &file.sha256);
		r = post_hook_run(program, &file, context->json, error);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- of a disk */

static int export_disk(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(freep) char *point = NULL;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(copies_clear) struct copies copies = { .items = calloc(1, sizeof(*copies.items)), .count = 1 };
	int r = ask_find_mount(context, arguments->words[0], &point, &name, error);

	if (r < 0)
		return r;
	if (!copies.items)
		return report(error, -ENOMEM, "out of memory");
	copies.items[0].point = point;
	copies.items[0].name = name;
	r = choose_paths(arguments, &copies, error);
	if (r == 0)
		r = copy_all(context, arguments, NULL, &copies, error);
	if (r < 0)
		return r;
	verb_print(context, arguments, name, arguments->subcommand->done, copies.items[0].answer);
	fflush(stdout);
	return run_hook(context, arguments, NULL, &copies, error);
}

/* ---- of a domain */

static int list_copies(const struct served_domain *domain, struct copies *copies, struct sentence *error)
{
	copies->items = calloc(domain->count, sizeof(*copies->items));
	if (!copies->items)
		return report(error, -ENOMEM, "out of memory");
	copies->count = domain->count;
	for (size_t i = 0; i < domain->count; i++) {
		copies->items[i].point = domain->disks[i].point;
		copies->items[i].name = domain->disks[i].name;
		copies->items[i].target = domain->disks[i].target;
	}
	return 0;
}

static void say_copies(const struct context *context, const struct live_plan *plan, const struct live_result *result,
		       const struct copies *copies)
{
	CLEANUP(json_putp) struct json_object *description = NULL;
	struct json_object *disks = NULL;

	if (!context->json) {
		for (size_t i = 0; i < copies->count; i++)
			printf("%s: exported to '%s'\n", copies->items[i].target, copies->items[i].path);
		fflush(stdout);
		return;
	}
	description = live_command_describe(plan, result);
	json_get_array(description, "disks", &disks);
	for (size_t i = 0; disks && i < copies->count; i++)
		json_object_object_add(json_object_array_get_idx(disks, i), "export",
				       json_object_get(copies->items[i].answer));
	print_json(description);
	fflush(stdout);
}

/* Paths first: a directory that cannot be made is no reason to pause a guest. */
static int capture(const struct context *context, const struct arguments *arguments, struct live_plan *plan,
		   struct live_result *result, struct copies *copies, struct sentence *error)
{
	struct virsh virsh = { .uri = context->connect };
	int r = served_domain_find(&virsh, plan->domain, &result->domain, error);

	if (r == 0)
		r = list_copies(&result->domain, copies, error);
	if (r == 0)
		r = choose_paths(arguments, copies, error);
	if (r < 0 || arguments_has(arguments, "point"))
		return r;
	r = live_snapshot(&virsh, plan, result, error);
	if (r == 0)
		live_command_say(context, plan, result);
	return r;
}

/* The name of a snapshot that is made for the export alone. */
static void name_point(char *name, size_t size)
{
	time_t now = time(NULL);
	struct tm broken_down;

	gmtime_r(&now, &broken_down);
	strftime(name, size, "export-%Y%m%dT%H%M%SZ", &broken_down);
}

/* Ctrl-C is seen by long_command_run() alone, so that the snapshot is deleted in any case. */
static void block_interrupt(sigset_t *ret_before)
{
	sigset_t interrupt;

	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, ret_before);
}

static int export_domain(const struct context *context, const struct arguments *arguments, struct live_plan plan,
			 struct sentence *error)
{
	CLEANUP(live_result_clear) struct live_result result = { 0 };
	CLEANUP(copies_clear) struct copies copies = { 0 };
	char own_snapshot[64];
	sigset_t before;
	int r;

	name_point(own_snapshot, sizeof(own_snapshot));
	plan.snapshot = arguments_has(arguments, "point") ? arguments_value(arguments, "point") : own_snapshot;
	block_interrupt(&before);
	r = capture(context, arguments, &plan, &result, &copies, error);
	if (r == 0)
		r = copy_all(context, arguments, plan.snapshot, &copies, error);
	live_forget(&result, plan.snapshot);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;
	say_copies(context, &plan, &result, &copies);
	return run_hook(context, arguments, plan.domain, &copies, error);
}

static int run_export(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	const char *program = arguments_value(arguments, "post-hook");
	bool live = arguments_has(arguments, "live");
	struct live_plan plan = { 0 };
	int r = live_command_parse(arguments, &plan, error);

	if (r < 0)
		return r;
	if (!arguments_has(arguments, "to"))
		return report(error, -EINVAL, "export wants --to=FILE");
	if (arguments_has(arguments, "point") && arguments_has(arguments, "quiesce"))
		return report(error, -EINVAL,
			      "--point exports what is there; --quiesce is for a snapshot that is made");
	if (arguments_has(arguments, "detach") && (live || program))
		return report(error, -EINVAL,
			      "with --live or --post-hook it must be waited for: --detach is not for these");
	r = program ? post_hook_check(program, error) : 0;
	if (r < 0)
		return r;
	if (arguments_has(arguments, "detach"))
		return verb_run_long(context, arguments, "export", NULL, error);
	return live ? export_domain(context, arguments, plan, error) : export_disk(context, arguments, error);
}

static const struct option_spec export_options[] = {
	{ "to", "FILE", "the copy; FILE.json beside it describes it", "to=" },
	{ "point", "POINT", "of this snapshot, instead of the head", "point=" },
	{ "format", "qcow2|raw", "of the copy", "format=" },
	{ "compress", NULL, "qcow2 alone: smaller, and slower", "compress=yes" },
	{ "rate", "BYTES", "at most so many bytes a second: 50M", "rate=" },
	{ "replace", NULL, "overwrite FILE", "replace=yes" },
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	LIVE_COMMAND_OPTIONS,
	{ "post-hook", "PROGRAM", "run it with the finished file and its sidecar", NULL },
	{ 0 },
};
const struct subcommand export_subcommand = {
	"export", "NAME", "a flat copy of a disk, or of a snapshot", export_options, run_export, "exported",
};
