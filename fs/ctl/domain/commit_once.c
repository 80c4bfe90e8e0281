/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * commit-once and discard-next: the one-shot flag in a domain's file, set and taken back.
 *
 * The flag may be changed at any time: what counts is its value when the session ends. The
 * daemons are told at once, so that a crash of the host does not lose what a running session is
 * to keep. The hook's log has who changed it and why, beside what came of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "config_text.h"
#include "defined_domain.h"
#include "hooklog.h"
#include "host.h"
#include "shown.h"
#include "subcommands.h"
#include "verbs.h"

#define TOLD_MS 600000 /* what a guest has written is synced meanwhile */

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
	/* A version that is true may be used up by a session that has crashed. A new one is not. */
	return !value && strcmp(text, config->text) == 0 ? 0 : config_replace(config, text, error);
}

static bool is_off(const struct defined_domain *defined)
{
	CLEANUP(freep) char *state = NULL;
	struct sentence ignored;

	return virsh_domain_state(&defined->virsh, defined->domain->uuid, &state, &ignored) < 0 ||
	       strcmp(state, "shut off") == 0;
}

/* "arm UUID VERSION vda ...", for the version that is there now. */
static int make_line(const struct defined_domain *defined, const bool *which, bool value, char **ret_line)
{
	CLEANUP(config_freep) struct config *now = NULL;
	struct sentence ignored;
	int r;

	if (config_load(HOST_CONFIG_DIR, defined->domain->name, &now, &ignored) <= 0)
		return -ESTALE;
	r = command_append(ret_line, NULL, value ? "arm" : "disarm");
	if (r == 0)
		r = command_append(ret_line, NULL, defined->domain->uuid);
	if (r == 0)
		r = command_append(ret_line, NULL, now->token);
	for (size_t i = 0; i < defined->config->count && r == 0; i++)
		if (which[i])
			r = command_append(ret_line, NULL, defined->config->disks[i].target);
	return r;
}

/* Each of them, as at the domain's end: which of its disks a daemon has, that daemon knows. */
static int tell_mounts(const struct mounts *mounts, const char *line, struct sentence *error)
{
	int r = 0;

	for (const struct mount *mount = mounts_next(mounts, NULL); mount; mount = mounts_next(mounts, mount)) {
		CLEANUP(json_putp) struct json_object *status = NULL;
		CLEANUP(json_putp) struct json_object *answer = NULL;
		struct sentence why;
		/* A daemon that hangs is not waited for as long as one that syncs. */
		int told = ask_status(mount->point, &status, &why);

		if (told == 0)
			told = ask(mount->point, line, TOLD_MS, &answer, &why);
		if (told < 0 && r == 0)
			r = report(error, told, "%s", why.text);
	}
	return r;
}

static int tell_daemons(const struct defined_domain *defined, const bool *which, bool value, struct sentence *error)
{
	CLEANUP(mounts_freep) struct mounts *mounts = NULL;
	CLEANUP(freep) char *line = NULL;
	struct sentence why = { "" };
	int r = make_line(defined, which, value, &line);

	if (r < 0)
		report(&why, r, "%s", error_text(r));
	if (r == 0)
		r = ask_mounts(&mounts, &why);
	if (r == 0)
		r = tell_mounts(mounts, line, &why);
	if (r == 0 || is_off(defined))
		return 0;
	return report(
		error, r,
		"'%s' says so by now, and that counts when the session ends; but %s a crash of the host before that: %s",
		defined->config->shown, value ? "what is written may be lost in" : "what is written may be kept after",
		why.text);
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
	printf("%s: what %s session writes to %s will be %s when it ends\n", defined->domain->name,
	       is_off(defined) ? "its next" : "the running", targets, value ? "kept, once," : "discarded");
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
	r = tell_daemons(&defined, which, value, error);
	if (r < 0)
		return r;
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
