/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A verb's row says what options it has. Whether a value is right is for the daemon to say: nothing
 * of that is repeated here.
 */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "long_command.h"
#include "status_json.h"
#include "subcommands.h"

char *absolute_path(const char *path, struct sentence *error)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(freep)
	char *directory = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	CLEANUP(freep) char *real = directory ? realpath(directory, NULL) : NULL;

	if (!real) {
		report(error, -errno, "'%s': its directory cannot be found: %s", path, error_text(-errno));
		return NULL;
	}
	return format_text("%s/%s", real[1] ? real : "", slash ? slash + 1 : path);
}

/*
 * "force=yes" is a whole setting; "format=" wants the option's value. A file's name is meant from
 * here, and the daemon is elsewhere: it becomes absolute.
 */
static int append_setting(char **line, const struct given_option *given, struct sentence *error)
{
	const char *setting = given->spec->setting, *equals = strchr(setting, '=');
	CLEANUP(freep) char *key = strndup(setting, (size_t)(equals - setting));
	CLEANUP(freep) char *path = NULL;

	if (!key)
		return -ENOMEM;
	if (given->value && strcmp(given->spec->value, "FILE") == 0) {
		path = absolute_path(given->value, error);
		return path ? command_append(line, key, path) : -ENOENT;
	}
	return command_append(line, key, equals[1] ? equals + 1 : given->value);
}

/* A word that is a setting already ("keep-revisions=2", of `set`) stays one. */
static int append_word(char **line, const struct subcommand *subcommand, const char *word)
{
	const char *equals = strstr(subcommand->words, "KEY=VALUE") ? strchr(word, '=') : NULL;
	CLEANUP(freep) char *key = equals ? strndup(word, (size_t)(equals - word)) : NULL;

	if (equals && !key)
		return -ENOMEM;
	return command_append(line, key, equals ? equals + 1 : word);
}

int verb_line(const struct arguments *arguments, const char *name, char **ret_line, struct sentence *error)
{
	CLEANUP(freep) char *line = strdup(arguments->subcommand->name);
	int r = line ? command_append(&line, NULL, name) : -ENOMEM;

	for (size_t i = 1; i < arguments->word_count && r == 0; i++)
		r = append_word(&line, arguments->subcommand, arguments->words[i]);
	for (size_t i = 0; i < arguments->option_count && r == 0; i++)
		if (arguments->options[i].spec->setting)
			r = append_setting(&line, &arguments->options[i], error);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return report(error, r, "%s",
			      r == -EINVAL ? "a word has a control character in it, or is not valid UTF-8"
					   : error_text(r));
	*ret_line = steal_pointer(&line);
	return 0;
}

void print_json(struct json_object *object)
{
	printf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Of a finished export, unless that was asked for. */
static bool lacks_checksum(const struct arguments *arguments, struct json_object *answer)
{
	return string_of(answer, "consistency", NULL) && json_object_object_get_ex(answer, "sha256", NULL) &&
	       !string_of(answer, "sha256", NULL) && !arguments_has(arguments, "no-checksum");
}

void verb_print_more(const struct arguments *arguments, struct json_object *answer)
{
	const char *text = NULL;
	bool flag = false;

	if (json_get_string(answer, "point", &text) > 0 || json_get_string(answer, "aside", &text) > 0)
		printf("; what was there is kept as '%s'", text);
	if (json_get_string(answer, "waits_for", &text) > 0)
		printf("; the rest waits: %s", text);
	/* A thin clone has a warning that says more. */
	if (json_get_bool(answer, "uncommitted", &flag) > 0 && flag && json_get_string(answer, "warning", &text) <= 0)
		printf("; what was written since its head is not in it");
	else if (json_get_bool(answer, "held", &flag) > 0 && flag)
		printf("; the saved guest's state is not in it: 'export --held' copies that");
	if (lacks_checksum(arguments, answer))
		printf("; without a checksum, since it is mostly holes: --checksum takes one");
}

void verb_print(const struct context *context, const struct arguments *arguments, const char *name, const char *done,
		struct json_object *answer)
{
	const char *text = NULL;

	if (context->json) {
		print_json(answer);
		return;
	}
	printf("%s: %s", name, done);
	verb_print_more(arguments, answer);
	printf("\n");
	if (json_get_string(answer, "warning", &text) > 0)
		fprintf(stderr, "revertctl: warning: %s\n", text);
}

/* What each verb needs: the mount, the disk's name in it, and the line. All owned. */
struct verb {
	char *point, *name, *line;
};

static void free_verbp(struct verb *verb)
{
	free(verb->point);
	free(verb->name);
	free(verb->line);
}

static int verb_prepare(const struct context *context, const struct arguments *arguments, struct verb *verb,
			struct sentence *error)
{
	bool is_image = arguments->subcommand == &protect_subcommand;
	int r = (is_image ? ask_find_mount_of_image : ask_find_mount)(context, arguments->words[0], &verb->point,
								      &verb->name, error);

	return r < 0 ? r : verb_line(arguments, verb->name, &verb->line, error);
}

int verb_run(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(free_verbp) struct verb verb = { 0 };
	int r = verb_prepare(context, arguments, &verb, error);

	if (r == 0)
		r = ask(verb.point, verb.line, ASK_TIMEOUT_MS, &answer, error);
	if (r == 0)
		verb_print(context, arguments, verb.name, arguments->subcommand->done, answer);
	return r;
}

int verb_run_long(const struct context *context, const struct arguments *arguments, const char *kind, const char *to,
		  struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(free_verbp) struct verb verb = { 0 };
	bool detach = arguments_has(arguments, "detach");
	struct long_command long_command = { .kind = kind, .to = to, .quiet = context->json };
	int r = verb_prepare(context, arguments, &verb, error);

	if (r < 0)
		return r;
	long_command.point = verb.point;
	long_command.name = verb.name;
	long_command.line = verb.line;
	if (to && path_is_beneath(to, verb.point)) /* a clone's name, as the status has it */
		long_command.to = name_beneath(to, verb.point);
	r = detach ? ask(verb.point, verb.line, ASK_TIMEOUT_MS, &answer, error)
		   : long_command_run(&long_command, &answer, error);
	if (r == 0)
		verb_print(context, arguments, verb.name,
			   detach ? "queued; 'revertctl status' shows how far it is" : arguments->subcommand->done,
			   answer);
	return r;
}

static const struct option_spec protect_options[] = {
	{ "format", "raw|qcow2", "what the image is, where it begins like both", "format=" },
	{ "force", NULL, "give up commits that another state directory has on it", "force=yes" },
	{ 0 },
};
const struct subcommand protect_subcommand = {
	"protect", "NAME", "serve an image as a disk that reverts", protect_options, verb_run, "protected",
};

static const struct option_spec unprotect_options[] = {
	{ "force", NULL, "also give up what is not folded into the image", "force=yes" },
	{ 0 },
};
const struct subcommand unprotect_subcommand = {
	"unprotect", "NAME", "serve the image itself again", unprotect_options, verb_run, "no longer protected",
};

const struct subcommand set_subcommand = {
	"set",
	"NAME KEY=VALUE...",
	"change a disk's properties: keep-revisions=N\nleftover=discard|keep durability=relaxed|strict\n"
	"reverts=yes|no size=BYTES\nimage=unchanged|as-is|new|mine",
	NULL,
	verb_run,
	"set",
};

static const struct option_spec reset_options[] = {
	{ "force", NULL, "also give up what a saved guest needs, or kept data", "force=yes" },
	{ 0 },
};
const struct subcommand reset_subcommand = {
	"reset", "NAME", "discard what was written since the head", reset_options, verb_run, "reset to its head",
};

/* Another fold command waits for the fold that the commit has queued. */
static int wait_for_fold(const struct context *context, const struct verb *verb, struct json_object **ret_answer,
			 struct sentence *error)
{
	CLEANUP(freep) char *line = strdup("fold");
	struct long_command long_command = {
		.point = verb->point, .name = verb->name, .kind = "fold", .quiet = context->json
	};

	if (!line || command_append(&line, NULL, verb->name) < 0)
		return report(error, -ENOMEM, "out of memory");
	long_command.line = line;
	return long_command_run(&long_command, ret_answer, error);
}

static int run_commit(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(json_putp) struct json_object *folded = NULL;
	CLEANUP(free_verbp) struct verb verb = { 0 };
	int r;

	if (!arguments_has(arguments, "wait"))
		return verb_run(context, arguments, error);
	if (arguments_has(arguments, "at-release"))
		return report(error, -EINVAL, "--wait is for a commit now, and --at-release is for one later");
	r = verb_prepare(context, arguments, &verb, error);
	if (r == 0)
		r = ask(verb.point, verb.line, ASK_TIMEOUT_MS, &answer, error);
	if (r < 0)
		return r;
	r = wait_for_fold(context, &verb, &folded, error);
	if (r < 0)
		return report_context(error, r, "it is committed, but not folded yet: ");
	verb_print(context, arguments, verb.name, "committed, and folded", folded);
	return 0;
}

static const struct option_spec commit_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	{ "at-release", NULL, "when the running session ends, instead of now", "at=release" },
	{ "wait", NULL, "until it is folded into the image", NULL },
	{ 0 },
};
const struct subcommand commit_subcommand = {
	"commit", "NAME", "keep what was written", commit_options, run_commit, "committed",
};

const struct subcommand undo_subcommand = {
	"undo", "NAME",   "take the last commit back, as long as it is not folded",
	NULL,   verb_run, "the last commit is undone",
};

static const struct option_spec revert_options[] = {
	{ "discard", NULL, "do not keep what was written since", "discard=yes" },
	{ 0 },
};
const struct subcommand revert_subcommand = {
	"revert", "NAME POINT", "go back to a snapshot", revert_options, verb_run, "reverted",
};

const struct subcommand delete_subcommand = {
	"delete", "NAME POINT", "forget a snapshot", NULL, verb_run, "snapshot deleted",
};

static int run_clone(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	if (!arguments_has(arguments, "full"))
		return verb_run(context, arguments, error);
	return verb_run_long(context, arguments, "clone", arguments->words[1], error);
}

static const struct option_spec clone_options[] = {
	{ "point", "POINT", "begin at this snapshot, instead of the head", "point=" },
	{ "no-follow", NULL, "do not take its template's new heads", "follow=no" },
	{ "full", NULL, "an independent one, with an image of its own", "full=yes" },
	{ "format", "qcow2|raw", "full: of its image", "format=" },
	{ "rate", "BYTES", "full: at most so many bytes a second", "rate=" },
	{ "detach", NULL, "full: do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand clone_subcommand = {
	"clone", "NAME NEW", "a new disk that begins where NAME is", clone_options, run_clone, "cloned",
};

static int run_fold(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	return verb_run_long(context, arguments, "fold", NULL, error);
}

static const struct option_spec fold_options[] = {
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand fold_subcommand = {
	"fold", "NAME", "move committed layers into the image", fold_options, run_fold, "folded",
};

static const struct option_spec cancel_options[] = {
	{ "job", "N|fold", "just this one, as the status numbers them", "job=" },
	{ 0 },
};
const struct subcommand cancel_subcommand = {
	"cancel", "NAME", "stop a disk's fold and exports; nothing is lost", cancel_options, verb_run, "cancelled",
};
