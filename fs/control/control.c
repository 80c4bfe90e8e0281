/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines in, one JSON object out. A table says what each verb takes; one function per verb checks
 * its words and calls the model.
 *
 * A line that fails is logged once, here, with who asked; the sentence is also the disk's
 * last_error and part of the answer.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "command.h"
#include "disk.h"
#include "domain_request.h"
#include "export.h"
#include "foldable.h"
#include "json.h"
#include "log.h"
#include "once.h"
#include "session.h"
#include "table.h"
#include "job.h"

struct request {
	struct disks *disks;
	struct caller *caller;
	const struct command *command;
	struct json_object *answer;
	unsigned line;
	char *name; /* the disk it is about, relative; NULL when the verb names none */
};

struct verb {
	const char *name;
	size_t words; /* how many plain words it takes; WORDS_ANY: it looks itself */
	const char *const *keys;
	enum effect effect;
	int (*run)(const struct request *request, struct sentence *error);
};

#define WORDS_ANY SIZE_MAX

/* --- words ------------------------------------------------------------------------------------ */

static const char *find_setting(const struct command *command, const char *key)
{
	for (size_t i = 0; i < command->count; i++)
		if (command->words[i].key && strcmp(command->words[i].key, key) == 0)
			return command->words[i].value;
	return NULL;
}

static int find_flag(const struct command *command, const char *key, bool *ret_value, struct sentence *error)
{
	const char *value = find_setting(command, key);

	if (!value)
		return 0;
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return report(error, -EINVAL, "%s must be yes or no", key);
	*ret_value = strcmp(value, "yes") == 0;
	return 0;
}

/*
 * A name relative to the mount's root. An absolute path that begins with the mount's own path is
 * one too; it is compared as text, for the daemon must never resolve a path in its own mount.
 */
static int relative_name(const struct disks *disks, const char *word, char **ret_name, struct sentence *error)
{
	const char *mount = disks->options->mount;
	const char *name = word;
	int r;

	if (word[0] == '/') {
		if (!path_is_beneath(word, mount))
			return report(error, -EINVAL, "'%s' does not lie in the mount '%s'", word, mount);
		name = word + strlen(mount);
		while (*name == '/')
			name++;
	}
	r = check_relative_name(name);
	if (r < 0)
		return report(error, r, "'%s' is no name in the mount", word);
	*ret_name = strdup(name);
	return *ret_name ? 0 : report(error, -ENOMEM, "out of memory");
}

/* --- verbs ------------------------------------------------------------------------------------ */

static int run_protect(const struct request *request, struct sentence *error)
{
	return disk_protect(request->disks, request->name, find_setting(request->command, "format"), error);
}

static int run_unprotect(const struct request *request, struct sentence *error)
{
	bool force = false;
	int r = find_flag(request->command, "force", &force, error);

	return r < 0 ? r : disk_unprotect(request->disks, request->name, force, error);
}

static int run_set(const struct request *request, struct sentence *error)
{
	int r = 0;

	if (request->command->count < 2)
		return report(error, -EINVAL, "set wants key=value");
	for (size_t i = 1; i < request->command->count && r == 0; i++) {
		const struct command_word *word = &request->command->words[i];

		if (!word->key)
			return report(error, -EINVAL, "set wants key=value, not '%s'", word->value);
		r = disk_set(request->disks, request->name, word->key, word->value, error);
	}
	return r;
}

static int run_reset(const struct request *request, struct sentence *error)
{
	bool force = false;
	int r = find_flag(request->command, "force", &force, error);

	return r < 0 ? r : disk_reset(request->disks, request->name, force, error);
}

static int run_commit(const struct request *request, struct sentence *error)
{
	const char *at = find_setting(request->command, "at");
	struct commit_result result;
	int r;

	if (at && strcmp(at, "release") != 0)
		return report(error, -EINVAL, "at must be release");
	if (at)
		return disk_commit_at_release(request->disks, request->name, error);
	r = disk_commit(request->disks, request->name, find_setting(request->command, "note"), &result, error);
	if (r == 0)
		reply_commit(request->answer, &result);
	return r;
}

static const char *snapshot_of(const struct request *request)
{
	return request->command->words[1].value;
}

static bool is_consistency(const char *text)
{
	return strcmp(text, "quiesced") == 0 || strcmp(text, "crash-consistent") == 0 || strcmp(text, "clean") == 0;
}

static int run_live_snapshot(const struct request *request, const char *consistency, struct sentence *error)
{
	struct live_request live = { .snapshot = snapshot_of(request),
				     .note = find_setting(request->command, "note"),
				     .consistency = consistency ? consistency : "crash-consistent" };
	struct live_result result;
	int r;

	if (!is_consistency(live.consistency))
		return report(error, -EINVAL, "consistency must be quiesced, crash-consistent or clean");
	r = disk_snapshot_live(request->disks, request->name, &live, &result, error);
	if (r == 0)
		reply_live(request->answer, &result);
	return r;
}

static int run_snapshot(const struct request *request, struct sentence *error)
{
	const char *consistency = find_setting(request->command, "consistency");
	struct commit_result result;
	bool is_live = false;
	int r = find_flag(request->command, "live", &is_live, error);

	if (r < 0)
		return r;
	if (is_live)
		return run_live_snapshot(request, consistency, error);
	if (consistency)
		return report(error, -EINVAL, "consistency= is for live=yes: a disk that nobody uses is clean");
	r = disk_snapshot(request->disks, request->name, snapshot_of(request), find_setting(request->command, "note"),
			  &result, error);
	if (r == 0)
		reply_commit(request->answer, &result);
	return r;
}

static int run_revert(const struct request *request, struct sentence *error)
{
	struct move_result result;
	bool discard = false;
	int r = find_flag(request->command, "discard", &discard, error);

	if (r < 0)
		return r;
	r = disk_revert(request->disks, request->name, snapshot_of(request), discard, &result, error);
	reply_move(request->answer, &result);
	return r;
}

/* Settings that export and a full clone share. */
static int parse_export(const struct request *request, struct export_request *export, struct sentence *error)
{
	const char *rate = find_setting(request->command, "rate");
	int r;

	export->name = request->name;
	export->snapshot = find_setting(request->command, "point");
	export->format = find_setting(request->command, "format");
	export->wait = true;
	r = find_flag(request->command, "wait", &export->wait, error);
	if (r == 0 && rate && (parse_size(rate, &export->rate) < 0 || !export->rate))
		r = report(error, -EINVAL, "rate must be a number of bytes in a second, or one with K, M, G or T");
	return r;
}

static int run_full_clone(const struct request *request, const char *name, struct sentence *error)
{
	CLEANUP(export_result_clear) struct export_result result = { 0 };
	struct export_request export = { .to = name };
	int r = parse_export(request, &export, error);

	if (r == 0 && find_setting(request->command, "follow"))
		r = report(error, -EINVAL, "a full clone follows nobody: leave 'follow=' out");
	if (r < 0)
		return r;
	r = disk_clone_full(request->disks, request->caller, &export, &result, error);
	reply_export(request->answer, &export, &result);
	return r;
}

static int check_thin_clone(const struct request *request, struct sentence *error)
{
	static const char *const others[] = { "format", "rate", "wait" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (find_setting(request->command, others[i]))
			return report(error, -EINVAL, "'%s=' is for full=yes: a thin clone is there at once",
				      others[i]);
	return 0;
}

static int run_clone(const struct request *request, struct sentence *error)
{
	CLEANUP(freep) char *clone = NULL;
	bool follow = true, full = false;
	int r = find_flag(request->command, "follow", &follow, error);

	if (r == 0)
		r = find_flag(request->command, "full", &full, error);
	if (r == 0)
		r = relative_name(request->disks, request->command->words[1].value, &clone, error);
	if (r == 0 && full)
		return run_full_clone(request, clone, error);
	if (r == 0)
		r = check_thin_clone(request, error);
	if (r < 0)
		return r;
	return disk_clone(request->disks, request->name, clone, find_setting(request->command, "point"), follow, error);
}

static int run_delete(const struct request *request, struct sentence *error)
{
	return disk_delete(request->disks, request->name, snapshot_of(request), error);
}

static int run_undo(const struct request *request, struct sentence *error)
{
	struct move_result result;
	int r = disk_undo(request->disks, request->name, &result, error);

	reply_move(request->answer, &result);
	return r;
}

static int find_disk(const struct request *request, struct disk **ret_disk, struct sentence *error)
{
	*ret_disk = disks_find(request->disks, request->name);
	return *ret_disk ? 0 : report(error, -ENOENT, "there is no disk '%s'; protect it first", request->name);
}

static int run_fold(const struct request *request, struct sentence *error)
{
	struct sentence why;
	struct disk *disk;
	bool wait = true;
	int r = find_flag(request->command, "wait", &wait, error);

	if (r == 0)
		r = find_disk(request, &disk, error);
	if (r < 0)
		return r;
	if (wait)
		r = job_fold_now(disk, request->caller, error);
	else
		job_queue(disk);
	if (r == 0 && wait && fold_is_obstructed(disk, &why))
		json_set_string(request->answer, "waits_for", why.text);
	disk_put(disk);
	return r;
}

static int run_export(const struct request *request, struct sentence *error)
{
	CLEANUP(export_result_clear) struct export_result result = { 0 };
	struct export_request export = { .to = find_setting(request->command, "to") };
	int r = export.to ? 0 : report(error, -EINVAL, "export wants to=PATH");

	if (r == 0)
		r = parse_export(request, &export, error);
	if (r == 0)
		r = find_flag(request->command, "compress", &export.compress, error);
	if (r == 0)
		r = find_flag(request->command, "replace", &export.replace, error);
	if (r < 0)
		return r;
	r = disk_export(request->disks, request->caller, &export, &result, error);
	reply_export(request->answer, &export, &result);
	return r;
}

static int run_cancel(const struct request *request, struct sentence *error)
{
	const char *job = find_setting(request->command, "job");
	uint64_t number = 0;
	struct disk *disk;
	int r;

	if (job && strcmp(job, "fold") == 0)
		number = JOB_FOLD;
	else if (job && (parse_size(job, &number) < 0 || !number))
		return report(error, -EINVAL,
			      "job must be fold, or a number, as the answer of 'export' and the status give it");
	r = find_disk(request, &disk, error);
	if (r < 0)
		return r;
	r = job_cancel(disk, number, error);
	disk_put(disk);
	return r;
}

/* --- the hook's verbs ------------------------------------------------------------------------- */

struct hook_request {
	struct session_request session;
	char **names; /* prepare: relative names, owned */
};

static void clear_hook_request(struct hook_request *hook)
{
	for (size_t i = 0; i < hook->session.count && hook->names; i++)
		free(hook->names[i]);
	free(hook->names);
	free(hook->session.items);
}

static int parse_yes(const struct command_word *word, bool *ret_value, struct sentence *error)
{
	if (strcmp(word->value, "yes") != 0 && strcmp(word->value, "no") != 0)
		return report(error, -EINVAL, "%s must be yes or no", word->key);
	*ret_value = strcmp(word->value, "yes") == 0;
	return 0;
}

static int parse_session_setting(struct session_request *session, const struct command_word *word,
				 struct sentence *error)
{
	if (strcmp(word->key, "domain") == 0)
		session->domain = word->value;
	else if (strcmp(word->key, "config") == 0)
		session->config = word->value;
	else if (strcmp(word->key, "saved") == 0)
		return parse_yes(word, &session->saved, error);
	else if (strcmp(word->key, "reason") == 0 && end_reason_parse(word->value, &session->reason) == 0)
		return 0;
	else
		return report(error, -EINVAL, "'%s=%s' is not known here", word->key, word->value);
	return 0;
}

static int parse_item_setting(struct session_item *item, const struct command_word *word, struct sentence *error)
{
	if (strcmp(word->key, "target") == 0) {
		item->target = word->value;
	} else if (strcmp(word->key, "source") == 0) {
		item->source = word->value;
	} else if (strcmp(word->key, "format") == 0) {
		item->format = word->value;
	} else if (strcmp(word->key, "armed") == 0) {
		return parse_yes(word, &item->armed, error);
	} else if (strcmp(word->key, "leftover") == 0) {
		if (strcmp(word->value, "keep") != 0 && strcmp(word->value, "discard") != 0)
			return report(error, -EINVAL, "leftover must be keep or discard");
		item->has_leftover = true;
		item->leftover_keep = strcmp(word->value, "keep") == 0;
	} else if (strcmp(word->key, "keep-revisions") == 0) {
		item->has_revisions = true;
		if (parse_size(word->value, &item->revisions) < 0)
			return report(error, -EINVAL, "keep-revisions must be a number");
	} else {
		return report(error, -EINVAL, "'%s' is not known here", word->key);
	}
	return 0;
}

/*
 * "UUID domain=.. config=.. ITEM key=value... ITEM ...": settings belong to the item before them,
 * or else to the session.
 */
static int parse_hook_request(const struct request *request, bool items_are_disks, struct hook_request *hook,
			      struct sentence *error)
{
	const struct command *command = request->command;
	struct session_request *session = &hook->session;
	int r = 0;

	session->domain = session->config = "";
	session->items = calloc(command->count + 1, sizeof(*session->items));
	hook->names = calloc(command->count + 1, sizeof(*hook->names));
	if (!session->items || !hook->names)
		return report(error, -ENOMEM, "out of memory");
	if (command->count == 0 || command->words[0].key || !uuid_is_valid(command->words[0].value))
		return report(error, -EINVAL, "a domain's UUID must come first");
	session->uuid = command->words[0].value;
	for (size_t i = 1; i < command->count && r == 0; i++) {
		const struct command_word *word = &command->words[i];

		if (!word->key) {
			struct session_item *item = &session->items[session->count];

			if (items_are_disks)
				r = relative_name(request->disks, word->value, &hook->names[session->count], error);
			item->name = hook->names[session->count];
			item->target = items_are_disks ? "" : word->value;
			session->count += r == 0;
		} else if (session->count) {
			r = parse_item_setting(&session->items[session->count - 1], word, error);
		} else {
			r = parse_session_setting(session, word, error);
		}
	}
	for (size_t i = 0; i < session->count && r == 0; i++)
		if (strlen(session->items[i].target) >= TARGET_SIZE || !session->items[i].target[0])
			r = report(error, -EINVAL, "each disk wants a target of less than %d bytes", TARGET_SIZE);
	if (r == 0 && (strlen(session->domain) >= DOMAIN_SIZE || strlen(session->config) >= TOKEN_SIZE))
		r = report(error, -EINVAL, "domain or config is too long");
	return r;
}

static int run_announce(const struct request *request, struct sentence *error)
{
	const struct command_word *word = request->command->count ? &request->command->words[0] : NULL;
	int r;

	if (!word || word->key || !uuid_is_valid(word->value))
		return report(error, -EINVAL, "announce wants a domain's UUID");
	r = session_announce(request->disks, word->value);
	return r < 0 ? report(error, r, "out of memory") : 0;
}

static int run_prepare(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_hook_request) struct hook_request hook = { 0 };
	int r = parse_hook_request(request, true, &hook, error);

	if (r == 0 && !hook.session.count)
		r = report(error, -EINVAL, "prepare wants a disk");
	hook.session.replay = request->caller->replay;
	if (r == 0)
		r = session_prepare(request->disks, &hook.session, &result, error);
	if (r == 0)
		reply_session(request->answer, &result);
	return r;
}

static int run_release(const struct request *request, struct sentence *error)
{
	CLEANUP(session_result_clear) struct session_result result = { 0 };
	CLEANUP(clear_hook_request) struct hook_request hook = { 0 };
	int r = parse_hook_request(request, false, &hook, error);

	if (r < 0)
		return r;
	r = session_release(request->disks, &hook.session, &result, error);
	reply_session(request->answer, &result);
	return r;
}

/* --- dispatch --------------------------------------------------------------------------------- */

static const char *const no_keys[] = { NULL };
static const char *const protect_keys[] = { "format", NULL };
static const char *const force_keys[] = { "force", NULL };
static const char *const commit_keys[] = { "at", "note", NULL };
static const char *const snapshot_keys[] = { "note", "live", "consistency", NULL };
static const char *const revert_keys[] = { "discard", NULL };
static const char *const clone_keys[] = { "point", "follow", "full", "format", "rate", "wait", NULL };
static const char *const fold_keys[] = { "wait", NULL };
static const char *const export_keys[] = { "to", "point", "format", "compress", "rate", "replace", "wait", NULL };
static const char *const cancel_keys[] = { "job", NULL };

static const struct verb verbs[] = {
	{ "protect", 1, protect_keys, EFFECT_MAKES_DISK, run_protect },
	{ "unprotect", 1, force_keys, EFFECT_REMOVES_DISK, run_unprotect },
	{ "set", 1, NULL, EFFECT_NONE, run_set },
	{ "reset", 1, force_keys, EFFECT_NONE, run_reset },
	{ "commit", 1, commit_keys, EFFECT_NEW_SCRATCH, run_commit },
	{ "undo", 1, no_keys, EFFECT_NEW_HEAD, run_undo },
	{ "snapshot", 2, snapshot_keys, EFFECT_MAKES_SNAPSHOT, run_snapshot },
	{ "revert", 2, revert_keys, EFFECT_NONE, run_revert },
	{ "delete", 2, no_keys, EFFECT_REMOVES_SNAPSHOT, run_delete },
	{ "clone", 2, clone_keys, EFFECT_MAKES_DISK, run_clone },
	{ "fold", 1, fold_keys, EFFECT_NONE, run_fold },
	{ "export", 1, export_keys, EFFECT_MAKES_FILE, run_export },
	{ "cancel", 1, cancel_keys, EFFECT_NONE, run_cancel },
	{ "announce", WORDS_ANY, no_keys, EFFECT_NONE, run_announce },
	{ "prepare", WORDS_ANY, NULL, EFFECT_NONE, run_prepare },
	{ "release", WORDS_ANY, NULL, EFFECT_NONE, run_release },
};

const char *control_help(void)
{
	return "Write one command a line; read the answer on the same descriptor. Names are relative to the mount.\n"
	       "A word with blanks goes in double quotes (\\\" and \\\\ inside).\n"
	       "\n"
	       "protect NAME [format=raw|qcow2]   serve the image as a disk that can be reset\n"
	       "unprotect NAME [force=yes]        serve the image itself again; force gives up what is not folded into it\n"
	       "set NAME key=value ...            keep-revisions=N leftover=discard|keep durability=relaxed|strict size=BYTES image=unchanged\n"
	       "reset NAME [force=yes]            discard what was written; force gives up a saved guest's state\n"
	       "commit NAME [at=release] [note=TEXT]   keep what was written, now or when the session ends\n"
	       "undo NAME                         take the last commit back, as long as it is not folded\n"
	       "snapshot NAME POINT [note=TEXT]   keep what was written, and name it\n"
	       "snapshot NAME POINT live=yes [consistency=quiesced|crash-consistent|clean]\n"
	       "                                  the same of a running disk, whose guest is paused; the session goes on\n"
	       "revert NAME POINT [discard=yes]   go back to a snapshot; what was written since is kept aside\n"
	       "delete NAME POINT                 forget a snapshot\n"
	       "clone TEMPLATE NEW [point=POINT] [follow=no]   a new disk that begins where TEMPLATE is; rm removes it\n"
	       "clone TEMPLATE NEW full=yes [point=POINT] [format=qcow2|raw] [rate=BYTES] [wait=no]\n"
	       "                                  an independent one, an image of its own\n"
	       "fold NAME [wait=no]               move committed layers into the image; waits for the end\n"
	       "export NAME to=PATH [point=POINT] [format=qcow2|raw] [compress=yes] [rate=BYTES] [replace=yes] [wait=no]\n"
	       "                                  a flat copy of the head or of a snapshot, and PATH.json, which describes it\n"
	       "cancel NAME [job=N|fold]          stop exports and full clones, and the fold, or just one; nothing is lost\n"
	       "\n"
	       "announce, prepare, release        what the libvirt hook says\n";
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

static bool takes_key(const struct verb *verb, const char *key)
{
	for (const char *const *known = verb->keys; *known; known++)
		if (strcmp(*known, key) == 0)
			return true;
	return false;
}

static bool is_repeated(const struct command *command, size_t word)
{
	for (size_t i = 0; i < word; i++)
		if (command->words[i].key && strcmp(command->words[i].key, command->words[word].key) == 0)
			return true;
	return false;
}

static int check_setting(const struct verb *verb, const struct command *command, size_t word, struct sentence *error)
{
	const char *key = command->words[word].key;

	if (verb->keys && !takes_key(verb, key))
		return report(error, -EINVAL, "%s does not take '%s='", verb->name, key);
	if (verb->words != WORDS_ANY && is_repeated(command, word))
		return report(error, -EINVAL, "'%s=' is given twice", key);
	return 0;
}

/* Whether it is `count` names, and after them settings alone. */
static bool begins_with_names(const struct command *command, size_t count)
{
	for (size_t i = 0; i < command->count; i++)
		if ((command->words[i].key == NULL) != (i < count))
			return false;
	return command->count >= count;
}

static int check_words(const struct verb *verb, const struct command *command, struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < command->count && r == 0; i++)
		if (command->words[i].key)
			r = check_setting(verb, command, i, error);
	if (r == 0 && verb->words != WORDS_ANY && !begins_with_names(command, verb->words))
		r = report(error, -EINVAL, "%s wants %s before any settings", verb->name,
			   verb->words == 1 ? "a name" : "two names");
	return r;
}

/* An earlier daemon may have been killed between doing this and saying so. */
static bool was_done(const struct request *request, const struct verb *verb)
{
	const struct command *command = request->command;
	bool is_clone = verb->run == run_clone;
	struct once_command once = { .effect = verb->effect, .line = request->line, .name = request->name };
	CLEANUP(freep) char *new_name = NULL;
	struct once_result result;

	if (!request->caller->replay)
		return false;
	if (verb->words == 2 && !is_clone)
		once.snapshot = command->words[1].value;
	if (is_clone && relative_name(request->disks, command->words[1].value, &new_name, NULL) == 0)
		once.name = new_name;
	once.file = verb->effect == EFFECT_MAKES_FILE ? find_setting(command, "to") : NULL;
	if (!once_was_done(request->disks, request->caller->replay, &once, &result))
		return false;
	reply_restarted(request->answer, &result);
	return true;
}

static int run_command(struct request *request, struct sentence *error)
{
	const struct command *command = request->command;
	const struct verb *verb = find_verb(command->verb);
	int r;

	if (!verb)
		return report(error, -EINVAL, "'%s' is no command; read the control file for the list", command->verb);
	r = check_words(verb, command, error);
	if (r == 0 && verb->words != WORDS_ANY)
		r = relative_name(request->disks, command->words[0].value, &request->name, error);
	if (r < 0)
		return r;
	return was_done(request, verb) ? 0 : verb->run(request, error);
}

static void note_outcome(const struct request *request, int result, const struct sentence *error)
{
	struct disk *disk = request->name ? disks_find(request->disks, request->name) : NULL;

	if (result < 0)
		log_error("%s (asked by uid %u, pid %d)", error->text, (unsigned)request->caller->uid,
			  (int)request->caller->pid);
	if (disk && (result < 0 || strcmp(request->command->verb, "cancel") != 0))
		disk_set_last_error(disk, result < 0 ? error : &(struct sentence){ "" });
	disk_put(disk);
}

static int run_line(struct disks *disks, struct caller *caller, unsigned number, const char *line, size_t length,
		    struct json_object *answer)
{
	CLEANUP(command_freep) struct command *command = NULL;
	struct request request = { .disks = disks, .caller = caller, .answer = answer, .line = number };
	struct sentence error = { "" };
	int r = command_parse(line, length, &command, &error);

	if (r == 0 && command) {
		log_debug("control", "uid %u, pid %d: %.*s", (unsigned)caller->uid, (int)caller->pid, (int)length,
			  line);
		request.command = command;
		r = run_command(&request, &error);
		note_outcome(&request, r, &error);
		free(request.name);
	} else if (r < 0) {
		log_error("control: %s (asked by uid %u, pid %d)", error.text, (unsigned)caller->uid, (int)caller->pid);
	}
	json_set_bool(answer, "ok", r == 0);
	if (r < 0) {
		json_set_string(answer, "errno", error_name(r));
		json_set_string(answer, "error", error.text);
	}
	return r;
}

int control_run(struct disks *disks, struct caller *caller, const char *text, size_t length, char **ret_answer)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	const char *line = text, *end = text + length;
	unsigned done = caller->replay ? once_lines_done(disks, caller->replay) : 0, number = 0;
	int r = 0;

	do {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *stop = newline ? newline : end;

		json_object_put(answer);
		answer = json_object_new_object();
		if (!answer)
			return -ENOMEM;
		if (number >= done)
			r = run_line(disks, caller, number, line, (size_t)(stop - line), answer);
		number++;
		line = newline ? newline + 1 : end;
	} while (r == 0 && line < end);
	*ret_answer = format_text("%s\n", json_object_to_json_string_ext(
						  answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return r;
}

void control_wake(struct disks *disks)
{
	pthread_mutex_lock(&disks->lock);
	pthread_cond_broadcast(&disks->changed);
	pthread_mutex_unlock(&disks->lock);
}
