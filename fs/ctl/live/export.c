/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * export: a flat copy of a disk, or with --live of all protected disks of a domain; and the user's
 * program for the copies.
 *
 * A running guest is paused for the snapshot alone. The copies are made of the snapshot, one after
 * the other, while the guest runs. The snapshot is deleted before a program is run. All disks are
 * copied before the first program is run: what is uploaded belongs together.
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
#include "long_command.h"
#include "post_hook.h"
#include "status_json.h"
#include "subcommands.h"
#include "verbs.h"

/* An export of one disk. All but the path and the answer is borrowed. */
struct disk_export {
	const char *point, *name; /* the mount, and the disk in it */
	const char *target;       /* of a domain's disk; NULL: no domain was named */
	char *path;
	struct json_object *answer;
};

struct disk_exports {
	struct disk_export *items;
	size_t count;
};

static void exports_clear(struct disk_exports *exports)
{
	for (size_t i = 0; exports->items && i < exports->count; i++) {
		free(exports->items[i].path);
		json_object_put(exports->items[i].answer);
	}
	free(exports->items);
}

/* ---- where to */

static bool is_directory(const char *path)
{
	struct stat stat_;

	return path[0] && (path[strlen(path) - 1] == '/' || (stat(path, &stat_) == 0 && S_ISDIR(stat_.st_mode)));
}

/*
 * One disk goes to the file; several go to a directory, which is made, with a file for each target.
 */
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

static int choose_paths(const struct arguments *arguments, struct disk_exports *exports, struct sentence *error)
{
	const char *to = arguments_value(arguments, "to"), *format = arguments_value(arguments, "format");

	for (size_t i = 0; i < exports->count; i++) {
		struct disk_export *export = &exports->items[i];

		export->path = path_for(to, export->target, exports->count, format ? format : "qcow2", error);
		if (!export->path)
			return -ENOENT;
	}
	return 0;
}

/* ---- the copies */

/* As if the option had been given on the command line. */
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

static int export_one(const struct context *context, const struct arguments *arguments, const char *snapshot,
		      struct disk_export *export, struct sentence *error)
{
	CLEANUP(freep) char *line = NULL;
	struct long_command long_command = { .kind = "export",
					     .point = export->point,
					     .name = export->name,
					     .to = export->path,
					     .quiet = context->json };
	struct arguments own = *arguments;
	int r;

	give_option(&own, "to", export->path);
	if (snapshot)
		give_option(&own, "point", snapshot);
	r = verb_line(&own, export->name, &line, error);
	long_command.line = line;
	return r < 0 ? r : long_command_run(&long_command, &export->answer, error);
}

static int export_all(const struct context *context, const struct arguments *arguments, const char *snapshot,
		      struct disk_exports *exports, struct sentence *error)
{
	for (size_t i = 0; i < exports->count; i++) {
		int r = export_one(context, arguments, snapshot, &exports->items[i], error);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the user's program */

static int run_post_hook(const struct context *context, const struct arguments *arguments, const char *domain,
			 const struct disk_exports *exports, struct sentence *error)
{
	const char *program = arguments_value(arguments, "post-hook"), *format = arguments_value(arguments, "format");

	for (size_t i = 0; program && i < exports->count; i++) {
		const struct disk_export *export = &exports->items[i];
		struct post_hook_file file = { .file = export->path,
					       .disk = export->name,
					       .domain = domain,
					       .target = export->target,
					       .snapshot = arguments_value(arguments, "point"),
					       .format = format ? format : "qcow2" };
		int r;

		json_get_string(export->answer, "consistency", &file.consistency);
		json_get_string(export->answer, "sha256", &file.sha256);
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
	CLEANUP(exports_clear) struct disk_exports exports = { .items = calloc(1, sizeof(*exports.items)), .count = 1 };
	int r = ask_find_mount(context, arguments->words[0], &point, &name, error);

	if (r < 0)
		return r;
	if (!exports.items)
		return report(error, -ENOMEM, "out of memory");
	exports.items[0].point = point;
	exports.items[0].name = name;
	r = choose_paths(arguments, &exports, error);
	if (r == 0)
		r = export_all(context, arguments, NULL, &exports, error);
	if (r < 0)
		return r;
	verb_print(context, arguments, name, arguments->subcommand->done, exports.items[0].answer);
	fflush(stdout);
	return run_post_hook(context, arguments, NULL, &exports, error);
}

/* ---- of a domain */

static int list_exports(const struct served_domain *domain, struct disk_exports *exports, struct sentence *error)
{
	exports->items = calloc(domain->count, sizeof(*exports->items));
	if (!exports->items)
		return report(error, -ENOMEM, "out of memory");
	exports->count = domain->count;
	for (size_t i = 0; i < domain->count; i++) {
		exports->items[i].point = domain->disks[i].point;
		exports->items[i].name = domain->disks[i].name;
		exports->items[i].target = domain->disks[i].target;
	}
	return 0;
}

static void print_exports(const struct context *context, const struct arguments *arguments,
			  const struct live_plan *plan, const struct live_result *result,
			  const struct disk_exports *exports)
{
	CLEANUP(json_putp) struct json_object *description = NULL;
	struct json_object *disk;

	if (!context->json) {
		for (size_t i = 0; i < exports->count; i++) {
			printf("%s: exported to '%s'", exports->items[i].target, exports->items[i].path);
			verb_print_more(arguments, exports->items[i].answer);
			printf("\n");
		}
		fflush(stdout);
		return;
	}
	description = live_command_describe(plan, result);
	for (size_t i = 0; i < exports->count && (disk = element_of(description, "disks", i)); i++)
		json_object_object_add(disk, "export", json_object_get(exports->items[i].answer));
	print_json(description);
	fflush(stdout);
}

/* Paths come first: a directory that cannot be made is no reason to pause a guest. */
static int take_snapshot(const struct context *context, const struct arguments *arguments, struct live_plan *plan,
			 struct live_result *result, struct disk_exports *exports, struct sentence *error)
{
	struct virsh virsh = { .uri = context->connect };
	int r = served_domain_find(&virsh, plan->domain, &result->domain, error);

	if (r == 0)
		r = list_exports(&result->domain, exports, error);
	if (r == 0)
		r = choose_paths(arguments, exports, error);
	if (r < 0 || arguments_has(arguments, "point"))
		return r;
	r = live_snapshot(&virsh, plan, result, error);
	if (r == 0)
		live_command_say(context, plan, result);
	return r;
}

/* The name of a snapshot that is made for this export alone. */
static void name_point(char *name, size_t size)
{
	time_t now = time(NULL);
	struct tm broken_down;

	gmtime_r(&now, &broken_down);
	strftime(name, size, "export-%Y%m%dT%H%M%SZ", &broken_down);
}

/* Only long_command_run() sees Ctrl-C: an export that is cancelled still deletes the snapshot. */
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
	CLEANUP(exports_clear) struct disk_exports exports = { 0 };
	char own_snapshot[64];
	sigset_t before;
	int r;

	name_point(own_snapshot, sizeof(own_snapshot));
	plan.snapshot = arguments_has(arguments, "point") ? arguments_value(arguments, "point") : own_snapshot;
	block_interrupt(&before);
	r = take_snapshot(context, arguments, &plan, &result, &exports, error);
	if (r == 0)
		r = export_all(context, arguments, plan.snapshot, &exports, error);
	live_forget(&result, plan.snapshot);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;
	print_exports(context, arguments, &plan, &result, &exports);
	return run_post_hook(context, arguments, plan.domain, &exports, error);
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
			      "--point exports a snapshot that is there; --quiesce is for one that is made");
	if (arguments_has(arguments, "held") && live)
		return report(error, -EINVAL,
			      "--held is of a disk whose guest is saved, and --live is of a domain: leave one out");
	if (arguments_has(arguments, "detach") && (live || program))
		return report(error, -EINVAL,
			      "--live and --post-hook have to wait for the end: --detach is not for these");
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
	{ "held", NULL, "of what a saved guest resumes on, instead of the head", "held=yes" },
	{ "format", "qcow2|raw", "of the copy", "format=" },
	{ "compress", NULL, "qcow2 alone: smaller, and slower", "compress=yes" },
	{ "rate", "BYTES", "at most so many bytes a second: 50M", "rate=" },
	{ "replace", NULL, "overwrite FILE", "replace=yes" },
	{ "checksum", NULL, "take one also where that takes long: of a raw\nfile with large holes", "checksum=yes" },
	{ "no-checksum", NULL, "leave the checksum out", "checksum=no" },
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	LIVE_COMMAND_OPTIONS,
	{ "post-hook", "PROGRAM", "run it with the finished file and its sidecar", NULL },
	{ 0 },
};
const struct subcommand export_subcommand = {
	"export", "NAME", "a flat copy of a disk, or of a snapshot", export_options, run_export, "exported",
};
