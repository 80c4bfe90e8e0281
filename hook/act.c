/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each event: gather what is known, have the plan made (plan.c), ask the daemons, and act on their
 * answers.
 *
 * The configuration is looked at first: for a domain that has none, a start costs one open(2), and
 * nothing is read from stdin.
 *
 * The hook writes false to one-shot-commit after the daemon has committed. Between the two,
 * anything may fail; and a session that was to be committed may crash with the host. So the daemon
 * remembers which version of the file (config->token) is used up, and says so at the next prepare;
 * the hook writes false then. That works only while the
 * file stays as it is: as long as a daemon with an armed disk has not said how its release ended,
 * the hook does not write to the file.
 */
#include "act.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "client.h"
#include "command.h"
#include "config.h"
#include "domain.h"
#include "follow.h"
#include "hooklog.h"
#include "mounts.h"
#include "plan.h"
#include "waiting.h"

/*
 * The deadline where little depends on the answer: for a mount where the domain has no configured
 * disk, for taking back a refused start, and for the end of a failed start, which may have waited
 * for a hung daemon already.
 */
#define SHORT_DEADLINE_S 5

struct knowledge {
	struct config *config;
	char *xml; /* as it came from libvirt */
	struct domain *domain;
	struct mounts *mounts;
};

/* What became of one request: an answer, or an errno and a sentence. */
struct outcome {
	struct answer *answer;
	int error;
	bool silent; /* no answer, or none that can be read: the daemon may have done it, or not */
	struct sentence why;
};

struct outcomes {
	struct outcome *items;
	size_t count;
};

static void free_knowledgep(struct knowledge *knowledge)
{
	config_free(knowledge->config);
	free(knowledge->xml);
	domain_free(knowledge->domain);
	mounts_free(knowledge->mounts);
}

static void free_outcomesp(struct outcomes *outcomes)
{
	for (size_t i = 0; i < outcomes->count; i++)
		answer_free(outcomes->items[i].answer);
	free(outcomes->items);
}

static struct situation situation_of(const struct event *event, const struct knowledge *knowledge)
{
	return (struct situation){
		.event = event,
		.domain = knowledge->domain,
		.config = knowledge->config,
		.mounts = knowledge->mounts,
	};
}

/* ---- gathering */

static int read_domain(struct knowledge *knowledge, struct sentence *error)
{
	size_t length;
	int r = read_all(STDIN_FILENO, DOMAIN_XML_MAX, &knowledge->xml, &length);

	if (r < 0)
		return report(error, r, "cannot read the domain's XML from libvirt: %s", error_text(r));
	return domain_parse(knowledge->xml, length, &knowledge->domain, error);
}

static void resolve_path(const struct settings *settings, const struct knowledge *knowledge, struct domain_disk *disk)
{
	size_t dirs = 0;

	while (dirs < STORAGE_DIRS && settings->storage_dirs[dirs])
		dirs++;
	domain_resolve_volume(disk, settings->storage_dirs, dirs);
	follow_links(disk, knowledge->mounts);
}

/*
 * The paths of the configured disks, as they are in a mount; of all, where the domain has no file.
 */
static void resolve_paths(const struct settings *settings, const struct knowledge *knowledge)
{
	for (size_t i = 0; i < knowledge->domain->count; i++) {
		struct domain_disk *disk = &knowledge->domain->disks[i];

		if (!knowledge->config || config_find(knowledge->config, disk->target))
			resolve_path(settings, knowledge, disk);
	}
}

/* The domain's file cannot be read, so any of its disks may be one that reverts. */
static void tell_what_waits(const struct settings *settings, struct knowledge *knowledge, struct sentence *error)
{
	if (read_domain(knowledge, NULL) < 0 || mounts_read(settings->mountinfo, &knowledge->mounts, NULL) < 0)
		return;
	resolve_paths(settings, knowledge);
	waiting_add(knowledge->domain, knowledge->mounts, error);
}

/* Gather all for a start or a restore: 1. 0 when the domain has nothing to protect. */
static int gather(const struct settings *settings, struct event *event, struct knowledge *knowledge,
		  struct sentence *error)
{
	int r = config_load(settings->config_dir, event->domain, &knowledge->config, error);

	if (r < 0)
		tell_what_waits(settings, knowledge, error);
	if (r <= 0 || knowledge->config->count == 0)
		return r < 0 ? r : 0;
	r = read_domain(knowledge, error);
	if (r == 0)
		r = mounts_read(settings->mountinfo, &knowledge->mounts, error);
	if (r < 0)
		return r;
	resolve_paths(settings, knowledge);
	event_find_save(event, settings->save_dir);
	return 1;
}

/* ---- asking */

static void take_answer(struct question *question, struct outcome *outcome)
{
	CLEANUP(freep) char *text = question->answer;

	if (text) {
		outcome->error = answer_parse(text, &outcome->answer, &outcome->why);
		outcome->silent = outcome->error == -EBADMSG;
		return;
	}
	outcome->error = question->error;
	outcome->silent = true;
	outcome->why = question->why;
}

static unsigned at_most(unsigned value, unsigned limit)
{
	return value < limit ? value : limit;
}

static int ask(const struct plan *plan, unsigned deadline_s, bool withdraw, struct outcomes *outcomes,
	       struct sentence *error)
{
	CLEANUP(freep) struct question *questions = calloc(plan->count + 1, sizeof(*questions));

	outcomes->items = calloc(plan->count + 1, sizeof(*outcomes->items));
	if (!questions || !outcomes->items)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < plan->count; i++) {
		questions[i].point = plan->requests[i].mount->point;
		questions[i].line = plan->requests[i].line;
		questions[i].timeout_ms =
			1000 * (plan->requests[i].ours ? deadline_s : at_most(deadline_s, SHORT_DEADLINE_S));
	}
	client_ask(questions, plan->count, withdraw);
	outcomes->count = plan->count;
	for (size_t i = 0; i < plan->count; i++)
		take_answer(&questions[i], &outcomes->items[i]);
	return 0;
}

/* The first of the failures, since only one can be shown; 0 when there is none. */
static int first_error(const struct outcomes *outcomes, struct sentence *error)
{
	for (size_t i = 0; i < outcomes->count; i++)
		if (outcomes->items[i].error < 0)
			return report(error, outcomes->items[i].error, "%s", outcomes->items[i].why.text);
	return 0;
}

static void log_action(const struct settings *settings, const struct event *event, const char *what,
		       const struct answer_disk *disk)
{
	const char *as = disk->point ? " as " : "", *point = disk->point ? disk->point : "";
	struct sentence quoted_domain, quoted_name, quoted_point;
	const char *name = quote_name(disk->name, &quoted_name), *named = quote_name(point, &quoted_point);

	hooklog(settings->log, event->shown, HOOKLOG_DISK "%s%s%s", what, disk->target, disk->name, disk->action, as,
		point);
	if (disk->warning)
		hooklog(settings->log, event->shown, "%s: %s: warning: %s", what, disk->target, disk->warning);
	if (disk->point)
		hooklog(settings->log, event->shown,
			"%s: %s: what was written before is in '%s': 'revertctl revert %s %s' makes it the disk's content, once nothing uses the disk, 'revertctl delete %s %s' drops it",
			what, disk->target, point, name, named, name, named);
	if (disk->consumed)
		hooklog(settings->log, event->shown,
			"%s: %s: its one-shot-commit was for an earlier session, which was committed or has crashed, or at whose end it could not be read; this one is not armed by it: 'revertctl commit-once %s' arms it",
			what, disk->target, quote_name(event->shown, &quoted_domain));
}

static void log_actions(const struct settings *settings, const struct event *event, const char *what,
			const struct outcomes *outcomes)
{
	for (size_t i = 0; i < outcomes->count; i++) {
		const struct answer *answer = outcomes->items[i].answer;

		for (size_t j = 0; answer && j < answer->count; j++)
			log_action(settings, event, what, &answer->disks[j]);
	}
}

/* ---- one-shot-commit */

static bool wants_disarming(const struct answer_disk *disk, const char *target)
{
	return (disk->consumed || strcmp(disk->action, "committed") == 0) && strcmp(disk->target, target) == 0;
}

/* Find the configured disks that have had their commit. */
static void find_consumed(const struct config *config, const struct outcomes *outcomes, bool *which)
{
	for (size_t i = 0; i < outcomes->count; i++) {
		const struct answer *answer = outcomes->items[i].answer;

		for (size_t j = 0; answer && j < answer->count; j++)
			for (size_t k = 0; k < config->count; k++)
				which[k] |= wants_disarming(&answer->disks[j], config->disks[k].target);
	}
}

/* A failure is only logged: the daemon says "consumed" at the next prepare, and this runs again. */
static void disarm(const struct settings *settings, const struct event *event, const struct config *config,
		   const struct outcomes *outcomes)
{
	CLEANUP(freep) bool *which = calloc(config->count + 1, sizeof(*which));
	struct sentence why = { "out of memory" };

	if (which)
		find_consumed(config, outcomes, which);
	if (!which || config_disarm(config, which, &why) < 0)
		hooklog(settings->log, event->shown, "%s", why.text);
}

/* Whether a daemon may still commit, or has committed without saying so. */
static bool a_commit_is_open(const struct plan *plan, const struct outcomes *outcomes)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->requests[i].armed && outcomes->items[i].silent)
			return true;
	return false;
}

/* ---- the events */

/*
 * Take back what other mounts have prepared. libvirt's own `release` would do so too, but libvirt
 * may not get that far.
 */
static void undo(const struct situation *situation, const struct plan *plan, const struct outcomes *outcomes,
		 unsigned deadline_s)
{
	CLEANUP(freep) bool *done = calloc(plan->count + 1, sizeof(*done));
	CLEANUP(plan_freep) struct plan *back = NULL;
	CLEANUP(free_outcomesp) struct outcomes ignored = { 0 };

	if (!done)
		return;
	for (size_t i = 0; i < plan->count; i++)
		done[i] = outcomes->items[i].error == 0;
	if (plan_undo(situation, plan, done, &back, NULL) == 0)
		ask(back, at_most(deadline_s, SHORT_DEADLINE_S), false, &ignored, NULL);
}

int act_prepare(const struct settings *settings, struct event *event, struct sentence *error)
{
	CLEANUP(free_knowledgep) struct knowledge knowledge = { 0 };
	CLEANUP(plan_freep) struct plan *plan = NULL;
	CLEANUP(free_outcomesp) struct outcomes outcomes = { 0 };
	struct situation situation;
	int r = gather(settings, event, &knowledge, error);

	if (r <= 0)
		return r;
	situation = situation_of(event, &knowledge);
	r = plan_prepare(&situation, &plan, error);
	if (r < 0)
		return r;
	r = ask(plan, settings->deadline_s, true, &outcomes, error);
	if (r < 0)
		return r;
	r = first_error(&outcomes, error);
	if (r < 0) {
		undo(&situation, plan, &outcomes, settings->deadline_s);
		return r;
	}
	log_actions(settings, event, "prepare", &outcomes);
	disarm(settings, event, knowledge.config, &outcomes);
	return 0;
}

static bool is_configured(const void *context, const char *target)
{
	return config_find(context, target) != NULL;
}

/*
 * A libvirt that was restarted while the domain ran writes each disk's chain into the XML that it
 * saves. At the restore it would start QEMU on that chain without looking at the disk. But the disk
 * now stands on one layer more, the hold, which has what the saved guest wrote. `restore` is the
 * one event where the hook may return another XML: without the chain, libvirt looks for it.
 */
static int forget_chains(struct knowledge *knowledge, char **ret_xml, struct sentence *error)
{
	int r = domain_without_chains(knowledge->xml, strlen(knowledge->xml), is_configured, knowledge->config, ret_xml,
				      error);

	for (size_t i = 0; r == 0 && i < knowledge->domain->count; i++)
		domain_forget_chain(&knowledge->domain->disks[i]);
	return r;
}

static int give_back(const char *xml, struct sentence *error)
{
	int r = write_all(STDOUT_FILENO, xml, strlen(xml));

	return r < 0 ? report(error, r, "cannot give the domain's XML back to libvirt: %s", error_text(r)) : 0;
}

int act_restore(const struct settings *settings, struct event *event, struct sentence *error)
{
	CLEANUP(free_knowledgep) struct knowledge knowledge = { 0 };
	CLEANUP(plan_freep) struct plan *plan = NULL;
	CLEANUP(free_outcomesp) struct outcomes outcomes = { 0 };
	CLEANUP(freep) char *xml = NULL;
	struct situation situation;
	int r = gather(settings, event, &knowledge, error);

	if (r <= 0)
		return r;
	r = forget_chains(&knowledge, &xml, error);
	situation = situation_of(event, &knowledge);
	if (r == 0)
		r = plan_announce(&situation, &plan, error);
	if (r == 0)
		r = ask(plan, settings->deadline_s, true, &outcomes, error);
	if (r == 0)
		r = first_error(&outcomes, error);
	return r == 0 && xml ? give_back(xml, error) : r;
}

int act_migrate(const struct settings *settings, struct event *event, struct sentence *error)
{
	CLEANUP(config_freep) struct config *config = NULL;
	int r = config_load(settings->config_dir, event->domain, &config, error);

	if (r <= 0 || config->count == 0)
		return r < 0 ? r : 0;
	return report(error, -EPERM,
		      "a domain with protected disks cannot be migrated: shut it down and start it on the other host, "
		      "or remove '%s' there",
		      config->shown);
}

/*
 * Whether the domain has a configuration. One that is not valid is passed on as none: the daemon
 * then keeps what a domain that was shut down or destroyed has written, undecided.
 */
static bool load_for_release(const struct settings *settings, const struct event *event, struct config **ret_config)
{
	struct sentence why;
	int r = config_load(settings->config_dir, event->domain, ret_config, &why);

	if (r < 0)
		hooklog(settings->log, event->shown, "release: %s", why.text);
	return r != 0;
}

static void log_release(const struct settings *settings, const struct event *event, const struct outcomes *outcomes)
{
	char what[64];

	snprintf(what, sizeof(what), "release (%s)", event->reason);
	log_actions(settings, event, what, outcomes);
	for (size_t i = 0; i < outcomes->count; i++)
		if (outcomes->items[i].error < 0)
			hooklog(settings->log, event->shown, "%s: %s", what, outcomes->items[i].why.text);
}

/* Gather all for a release, and plan it: 1. 0 without a configuration and a mount. */
static int gather_and_plan_release(const struct settings *settings, struct event *event, struct knowledge *knowledge,
				   bool configured, struct plan **ret_plan, struct sentence *error)
{
	struct situation situation;
	int r = mounts_read(settings->mountinfo, &knowledge->mounts, error);

	if (r < 0)
		return r;
	if (!mounts_next(knowledge->mounts, NULL) && !configured)
		return 0;
	if (!mounts_next(knowledge->mounts, NULL))
		return report(error, -ENOENT,
			      "no revertfs is mounted, so the domain's disks were left as they are: start the "
			      "revertfs service");
	r = read_domain(knowledge, error);
	if (r < 0)
		return r;
	event_find_save(event, settings->save_dir);
	event_find_reason(event, settings->libvirt_log_dir);
	/* Without a file they matter where they were shut down; a path may lead to what hangs. */
	if (knowledge->config || strcmp(event->reason, "shutdown") == 0)
		resolve_paths(settings, knowledge);
	situation = situation_of(event, knowledge);
	r = plan_release(&situation, ret_plan, error);
	return r < 0 ? r : 1;
}

/* A daemon that does not run is no error of a domain that has no disk in its mount. */
static void ignore_other_mounts(const struct plan *plan, struct outcomes *outcomes)
{
	for (size_t i = 0; i < plan->count; i++)
		if (!plan->requests[i].ours && outcomes->items[i].error == -ENOTCONN)
			outcomes->items[i].error = 0;
}

static int ask_and_disarm(const struct settings *settings, const struct event *event, const struct knowledge *knowledge,
			  const struct plan *plan, struct sentence *error)
{
	CLEANUP(free_outcomesp) struct outcomes outcomes = { 0 };
	bool failed = strcmp(event->reason, "failed") == 0;
	unsigned deadline_s = failed ? at_most(settings->deadline_s, SHORT_DEADLINE_S) : settings->deadline_s;
	int r = ask(plan, deadline_s, false, &outcomes, error);

	if (r < 0)
		return r;
	ignore_other_mounts(plan, &outcomes);
	log_release(settings, event, &outcomes);
	if (knowledge->config && !a_commit_is_open(plan, &outcomes))
		disarm(settings, event, knowledge->config, &outcomes);
	return first_error(&outcomes, error);
}

int act_release(const struct settings *settings, struct event *event, struct sentence *error)
{
	CLEANUP(free_knowledgep) struct knowledge knowledge = { 0 };
	CLEANUP(plan_freep) struct plan *plan = NULL;
	bool configured = load_for_release(settings, event, &knowledge.config);
	int r = gather_and_plan_release(settings, event, &knowledge, configured, &plan, error);

	if (r < 0)
		hooklog(settings->log, event->shown, "release: %s", error->text);
	return r <= 0 ? r : ask_and_disarm(settings, event, &knowledge, plan, error);
}
