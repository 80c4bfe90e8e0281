/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit-once and discard-next: the one-shot flag in a domain's file, set and taken back.
 *
 * The flag may be changed at any time: what counts is its value when the session ends. The hook's
 * log has who changed it and why, beside what came of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "defined_domain.h"
#include "hooklog.h"
#include "host.h"
#include "shown.h"
#include "subcommands.h"
#include "verbs.h"

static char *list_targets(const struct config *config, const bool *which)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	if (!stream)
		return NULL;
	for (size_t i = 0; i < config->count; i++)
		if (which[i])
			fprintf(stream, "%s%s", ftell(stream) > 0 ? ", " : "", config->disks[i].target);
	fclose(stream);
	return text;
}

static int write_flag(const struct defined_domain *defined, const bool *which, bool value, struct sentence *error)
{
	const struct config *config = defined->config;
	CLEANUP(freep) char *text = config_text_set_flag(config->text, which, config->count, value);

	if (!text)
		return report(error, -ENOMEM, "out of memory");
	return strcmp(text, config->text) == 0 ? 0 : config_replace(config, text, error);
}

static void note(const struct defined_domain *defined, const char *targets, bool value, const char *reason)
{
	CLEANUP(freep) char *user = host_user();
	char shown[256];

	shown_text(defined->domain->name, shown, sizeof(shown));
	hooklog(HOST_HOOK_LOG, shown, "one-shot-commit of %s was set to %s by %s%s%s", targets,
		value ? "true" : "false", user ? user : "?", reason ? ": " : "", reason ? reason : "");
}

static void print_answer(const struct defined_domain *defined, const bool *which, bool value)
{
	CLEANUP(json_putp) struct json_object *answer = json_object_new_object();
	struct json_object *targets = json_object_new_array();

	json_set_bool(answer, "ok", true);
	json_set_string(answer, "domain", defined->domain->name);
	for (size_t i = 0; i < defined->config->count; i++)
		if (which[i])
			json_object_array_add(targets, json_object_new_string(defined->config->disks[i].target));
	json_object_object_add(answer, "targets", targets);
	json_set_bool(answer, "one-shot-commit", value);
	print_json(answer);
}

static void print_text(const struct defined_domain *defined, const char *targets, bool value)
{
	CLEANUP(freep) char *state = NULL;
	struct sentence ignored;
	bool off = virsh_domain_state(&defined->virsh, defined->domain->uuid, &state, &ignored) < 0 ||
		   strcmp(state, "shut off") == 0;

	printf("%s: what %s session writes to %s will be %s when it ends\n", defined->domain->name,
	       off ? "its next" : "the running", targets, value ? "kept, once," : "discarded");
}

static int set_flag(const struct context *context, const struct arguments *arguments, bool value,
		    struct sentence *error)
{
	const char *reason = arguments_value(arguments, "reason");
	CLEANUP(defined_domain_clear) struct defined_domain defined = { 0 };
	CLEANUP(freep) char *targets = NULL;
	CLEANUP(freep) bool *which = NULL;
	int r = defined_domain_load(context, arguments->words[0], &defined, error);

	if (r == 0)
		r = defined_domain_choose(&defined, arguments, &which, error);
	if (r < 0 || !which)
		return r;
	r = write_flag(&defined, which, value, error);
	if (r < 0)
		return r;
	targets = list_targets(defined.config, which);
	if (!targets)
		return report(error, -ENOMEM, "out of memory");
	note(&defined, targets, value, reason);
	if (context->json)
		print_answer(&defined, which, value);
	else
		print_text(&defined, targets, value);
	return 0;
}

static int run_commit_once(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	return set_flag(context, arguments, true, error);
}

static int run_discard_next(const struct context *context, const struct arguments *arguments, struct sentence *error)
{
	return set_flag(context, arguments, false, error);
}

static const struct option_spec commit_once_options[] = {
	{ "target", "DEV", "just this disk, \"vda\"; may be repeated (all)", NULL },
	{ "reason", "TEXT", "why, for the hook's log", NULL },
	{ 0 },
};
const struct subcommand commit_once_subcommand = {
	"commit-once",       "DOMAIN",        "keep what the next session writes, or the running one",
	commit_once_options, run_commit_once, NULL,
};

const struct subcommand discard_next_subcommand = {
	"discard-next", "DOMAIN", "take commit-once back", commit_once_options, run_discard_next, NULL,
};
