/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a verb may be told stands in its row; the daemon says what is wrong with a value, so nothing of that is repeated here.
 */
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "subcommands.h"

/* "force=yes" is the whole setting, "format=" wants the option's value. */
static int append_setting(char **line, const struct given_option *given)
{
	const char *setting = given->spec->setting, *equals = strchr(setting, '=');
	CLEANUP(freep) char *key = strndup(setting, (size_t)(equals - setting));

	if (!key)
		return -ENOMEM;
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
			r = append_setting(&line, &arguments->options[i]);
	if (r < 0)
		return report(error, r, "%s",
			      r == -EINVAL ? "a word has a control character in it, or is not valid UTF-8"
					   : error_text(r));
	*ret_line = steal_pointer(&line);
	return 0;
}

static void print_json(struct json_object *answer)
{
	printf("%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* What was done, and what the answer says beside. */
static void print_done(const struct arguments *arguments, const char *name, struct json_object *answer)
{
	const char *text = NULL;

	printf("%s: %s", name, arguments->subcommand->done);
	if (json_get_string(answer, "point", &text) > 0 || json_get_string(answer, "aside", &text) > 0)
		printf("; what was there is kept as '%s'", text);
	printf("\n");
	if (json_get_string(answer, "warning", &text) > 0)
		fprintf(stderr, "revertctl: warning: %s\n", text);
}

int verb_run(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *point = NULL;
	CLEANUP(freep) char *name = NULL;
	CLEANUP(freep) char *line = NULL;
	int r = ask_place(context, arguments->words[0], &point, &name, error);

	if (r == 0)
		r = verb_line(arguments, name, &line, error);
	if (r == 0)
		r = ask(point, line, ASK_TIMEOUT_MS, &answer, error);
	if (r < 0)
		return r;
	if (context->json)
		print_json(answer);
	else
		print_done(arguments, name, answer);
	return 0;
}

static const struct option_spec protect_options[] = {
	{ "format", "raw|qcow2", "what the image is, where it begins like both", "format=" },
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
	"keep-revisions=N leftover=discard|keep\ndurability=relaxed|strict size=BYTES\nimage=unchanged",
	NULL,
	verb_run,
	"set",
};

static const struct option_spec reset_options[] = {
	{ "force", NULL, "also give up what a saved guest needs", "force=yes" },
	{ 0 },
};
const struct subcommand reset_subcommand = {
	"reset", "NAME", "discard what was written since the head", reset_options, verb_run, "reset to its head",
};

static const struct option_spec commit_options[] = {
	{ "note", "TEXT", "remembered with the layer", "note=" },
	{ "at-release", NULL, "when the running session ends, instead of now", "at=release" },
	{ 0 },
};
const struct subcommand commit_subcommand = {
	"commit", "NAME", "keep what was written", commit_options, verb_run, "committed",
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

static const struct option_spec clone_options[] = {
	{ "point", "POINT", "begin at this snapshot, instead of the head", "point=" },
	{ "no-follow", NULL, "do not take its template's new heads", "follow=no" },
	{ 0 },
};
const struct subcommand clone_subcommand = {
	"clone", "NAME NEW", "a new disk that begins where NAME is", clone_options, verb_run, "cloned",
};

static const struct option_spec fold_options[] = {
	{ "detach", NULL, "do not wait for the end", "wait=no" },
	{ 0 },
};
const struct subcommand fold_subcommand = {
	"fold", "NAME", "move committed layers into the image", fold_options, verb_run, "folded",
};

static const struct option_spec cancel_options[] = {
	{ "job", "N", "just this export, as the status numbers them", "job=" },
	{ 0 },
};
const struct subcommand cancel_subcommand = {
	"cancel", "NAME", "stop a disk's fold and exports; nothing is lost", cancel_options, verb_run, "cancelled",
};
