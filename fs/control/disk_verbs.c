/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of all verbs, and those that are about a disk: one function each, which reads the
 * settings, calls the verb of fs/disk, fs/jobs or fs/export, and has its result put into the
 * answer.
 */
#include <errno.h>
#include <string.h>

#include "disk.h"
#include "export.h"
#include "foldable.h"
#include "job.h"
#include "json.h"
#include "lock.h"
#include "model.h"
#include "reply.h"
#include "session.h"
#include "table.h"
#include "trouble.h"
#include "verb.h"

static int run_protect(const struct request *request, struct sentence *error)
{
	const char *format = find_setting(request->command, "format");
	struct sentence trouble;
	bool force = false;
	struct disk *disk;
	int r = find_flag(request->command, "force", &force, error);

	if (r == 0)
		r = force ? disk_protect_by_force(request->disks, request->name, format, error)
			  : disk_protect(request->disks, request->name, format, error);
	disk = r == 0 ? disks_find(request->disks, request->name) : NULL;
	if (disk && trouble_of_disk(disk, &trouble))
		json_set_string(request->answer, "warning", trouble.text);
	disk_put(disk);
	return r;
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

/* A guest that runs can be paused for a snapshot; another program that writes the disk cannot. */
static void offer_live(const struct request *request, struct sentence *error)
{
	struct disk *disk = disks_find(request->disks, request->name);
	struct sentence why = *error, quoted_domain, quoted_point;

	if (!disk)
		return;
	LOCKED (&disk->disks->lock)
		if (session_is_active_locked(disk))
			report(error, -EBUSY, "%s, or use 'revertctl snapshot %s %s --live'", why.text,
			       quote_name(disk->session->domain, &quoted_domain),
			       quote_name(snapshot_of(request), &quoted_point));
	disk_put(disk);
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
	if (r == -EBUSY)
		offer_live(request, error);
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
	once_add_kept(request->disks, request->caller->replay, request->name, &result);
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
		r = report(error, -EINVAL, "a full clone follows no disk: leave 'follow=' out");
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
	struct sentence missing;
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
	r = disk_clone(request->disks, request->name, clone, find_setting(request->command, "point"), follow, &missing,
		       error);
	if (r == 0)
		reply_clone(request->answer, &missing);
	return r;
}

static int run_delete(const struct request *request, struct sentence *error)
{
	return disk_delete(request->disks, request->name, snapshot_of(request), error);
}

static int run_undo(const struct request *request, struct sentence *error)
{
	struct move_result result;
	int r = disk_undo(request->disks, request->name, &result, error);

	once_add_kept(request->disks, request->caller->replay, request->name, &result);
	reply_move(request->answer, &result);
	return r;
}

static int find_disk(const struct request *request, struct disk **ret_disk, struct sentence *error)
{
	*ret_disk = disks_find(request->disks, request->name);
	return *ret_disk ? 0 : disk_report_missing(request->disks, request->name, error);
}

static int run_fold(const struct request *request, struct sentence *error)
{
	struct sentence why;
	struct disk *disk;
	bool wait = true;
	int r = find_flag(request->command, "wait", &wait, error);

	if (r < 0)
		return r;
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

static int find_checksum(const struct command *command, enum checksum *ret_checksum, struct sentence *error)
{
	bool wanted = false;
	int r = find_flag(command, "checksum", &wanted, error);

	if (r == 0 && find_setting(command, "checksum"))
		*ret_checksum = wanted ? CHECKSUM_YES : CHECKSUM_NO;
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
	if (r == 0)
		r = find_checksum(request->command, &export.checksum, error);
	if (r == 0)
		r = find_flag(request->command, "held", &export.held, error);
	if (r == 0 && export.held && export.snapshot)
		r = report(error, -EINVAL, "point= is of a snapshot, and held=yes of a saved guest: leave one out");
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
	/* No job outlives its daemon, so one that was to be stopped has ended with it. */
	if (r == -ENOENT && request->caller->replay && request->caller->replay->again)
		r = 0;
	disk_put(disk);
	return r;
}

/* --- the table ------------------------------------------------------------------------------- */

static const char *const no_keys[] = { NULL };
static const char *const protect_keys[] = { "format", "force", NULL };
static const char *const force_keys[] = { "force", NULL };
static const char *const commit_keys[] = { "at", "note", NULL };
static const char *const snapshot_keys[] = { "note", "live", "consistency", NULL };
static const char *const revert_keys[] = { "discard", NULL };
static const char *const clone_keys[] = { "point", "follow", "full", "format", "rate", "wait", NULL };
static const char *const fold_keys[] = { "wait", NULL };
static const char *const export_keys[] = { "to",   "point",   "held",     "format", "compress",
					   "rate", "replace", "checksum", "wait",   NULL };
static const char *const cancel_keys[] = { "job", NULL };

static const struct verb verbs[] = {
	{ "protect", 1, protect_keys, EFFECT_MAKES_DISK, run_protect },
	{ "unprotect", 1, force_keys, EFFECT_REMOVES_DISK, run_unprotect },
	{ "set", 1, NULL, EFFECT_NONE, run_set },
	{ "reset", 1, force_keys, EFFECT_NONE, run_reset },
	{ "commit", 1, commit_keys, EFFECT_NEW_SCRATCH, run_commit },
	{ "undo", 1, no_keys, EFFECT_NEW_HEAD, run_undo },
	{ "snapshot", 2, snapshot_keys, EFFECT_MAKES_SNAPSHOT, run_snapshot },
	{ "revert", 2, revert_keys, EFFECT_KEEPS, run_revert },
	{ "delete", 2, no_keys, EFFECT_REMOVES_SNAPSHOT, run_delete },
	{ "clone", 2, clone_keys, EFFECT_MAKES_DISK, run_clone },
	{ "fold", 1, fold_keys, EFFECT_NONE, run_fold },
	{ "export", 1, export_keys, EFFECT_MAKES_FILE, run_export },
	{ "cancel", 1, cancel_keys, EFFECT_NONE, run_cancel },
	{ "announce", WORDS_ANY, no_keys, EFFECT_NONE, verb_announce },
	{ "prepare", WORDS_ANY, NULL, EFFECT_NONE, verb_prepare },
	{ "check", WORDS_ANY, NULL, EFFECT_NONE, verb_check },
	{ "release", WORDS_ANY, NULL, EFFECT_NONE, verb_release },
	{ "arm", WORDS_ANY, no_keys, EFFECT_NONE, verb_arm },
	{ "disarm", WORDS_ANY, no_keys, EFFECT_NONE, verb_arm },
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}
