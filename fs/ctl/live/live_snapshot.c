/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest is frozen and paused (freeze_guard.h) while all disks are copied (live_copy.h), and
 * goes on while the copies are synced. Signals are blocked meanwhile: all or none is a promise.
 */
#include "live_snapshot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "command.h"
#include "live_copy.h"
#include "log.h"

#define LEAST_MS 1000  /* a daemon has to copy, also where the time is nearly over */
#define SEAL_MS 600000 /* a daemon has to check and sync the copies */

void live_result_clear(struct live_result *result)
{
	for (size_t i = 0; result->answers && i < result->domain.count; i++)
		json_object_put(result->answers[i]);
	free(result->answers);
	served_domain_clear(&result->domain);
	*result = (struct live_result){ 0 };
}

static int snapshot_line(const struct served_disk *disk, const struct live_plan *plan, const char *consistency,
			 char **ret_line)
{
	CLEANUP(freep) char *line = strdup("snapshot");
	int r = line ? command_append(&line, NULL, disk->name) : -ENOMEM;

	if (r == 0)
		r = command_append(&line, NULL, plan->snapshot);
	if (r == 0)
		r = command_append(&line, "live", "yes");
	if (r == 0)
		r = command_append(&line, "consistency", consistency);
	if (r == 0 && plan->note)
		r = command_append(&line, "note", plan->note);
	*ret_line = steal_pointer(&line);
	return r;
}

static void forget_one(const struct served_disk *disk, const char *snapshot, bool is_there)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	CLEANUP(freep) char *line = strdup("delete");
	struct sentence why = { "out of memory" };
	int r = line ? command_append(&line, NULL, disk->name) : -ENOMEM;

	if (r == 0)
		r = command_append(&line, NULL, snapshot);
	if (r == 0)
		r = ask(disk->point, line, ASK_TIMEOUT_MS, &answer, &why);
	if (r < 0 && (is_there || r != -ENOENT))
		log_warning("snapshot '%s' of disk '%s' may be left: %s", snapshot, disk->name, why.text);
}

void live_forget(const struct live_result *result, const char *snapshot)
{
	for (size_t i = 0; result->answers && i < result->domain.count; i++)
		if (result->answers[i])
			forget_one(&result->domain.disks[i], snapshot, true);
}

/*
 * Delete what was made, and what a daemon that was late may have made. A daemon that refused has
 * made nothing.
 */
static void undo(const struct live_result *result, const struct live_copy *copies, const char *snapshot)
{
	live_forget(result, snapshot);
	for (size_t i = 0; i < result->domain.count; i++)
		if (!result->answers[i] && copies[i].question.error == -ETIMEDOUT)
			forget_one(&result->domain.disks[i], snapshot, false);
}

static const char *label_of(const struct live_result *result, const struct served_disk *disk,
			    const struct freeze_guard *guard)
{
	if (result->domain.state == DOMAIN_OFF)
		return disk->is_leftover ? "crash-consistent" : "clean";
	return guard->quiesced ? "quiesced" : "crash-consistent";
}

static int prepare_copies(const struct live_result *result, const struct live_plan *plan,
			  const struct freeze_guard *guard, struct live_copy *copies, struct sentence *error)
{
	for (size_t i = 0; i < result->domain.count; i++) {
		const struct served_disk *disk = &result->domain.disks[i];
		char *line = NULL;
		int r = snapshot_line(disk, plan, label_of(result, disk, guard), &line);

		copies[i] = (struct live_copy){ .name = disk->name,
						.snapshot = plan->snapshot,
						.question = { .point = disk->point, .line = line } };
		if (r < 0)
			return report(error, r, "'%s': %s", plan->snapshot, error_text(r));
	}
	return 0;
}

static void copy_all(const struct live_plan *plan, const struct freeze_guard *guard, struct live_copy *copies,
		     size_t count)
{
	uint64_t now = monotonic_ms(), deadline = now + (uint64_t)plan->timeout_s * 1000;

	if (guard->fd >= 0)
		deadline = guard->deadline > now + LEAST_MS ? guard->deadline : now + LEAST_MS;
	for (size_t i = 0; i < count; i++)
		live_copy_begin(&copies[i]);
	live_copy_until_copied(copies, count, deadline);
}

/* Of several errors, the sentence is that of the first. */
static int take_answers(struct live_result *result, struct live_copy *copies, struct sentence *error)
{
	int r = 0;

	live_copy_until_settled(copies, result->domain.count, monotonic_ms() + SEAL_MS);
	for (size_t i = 0; i < result->domain.count; i++) {
		struct sentence why = { "" };
		int one = ask_result(&copies[i].question, &result->answers[i], &why);

		if (one < 0 && r == 0)
			r = report(error, one, "%s", why.text);
	}
	return r;
}

static void free_copies(struct live_copy *copies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		live_copy_clear(&copies[i]);
		free((char *)copies[i].question.line);
	}
	free(copies);
}

static int resume_guest(struct freeze_guard *guard, struct live_result *result, struct sentence *error)
{
	if (guard->fd < 0)
		return 0;
	result->was_paused = true;
	return freeze_guard_end(guard, &result->times, error);
}

static int take_paused(struct live_result *result, const struct live_plan *plan, struct freeze_guard *guard,
		       struct live_copy *copies, struct sentence *error)
{
	struct sentence why = { "" };
	int r = prepare_copies(result, plan, guard, copies, error), resumed;

	if (r == 0)
		copy_all(plan, guard, copies, result->domain.count);
	resumed = resume_guest(guard, result, &why);
	if (r == 0)
		r = take_answers(result, copies, error);
	if (r < 0 || resumed == -ETIME)
		undo(result, copies, plan->snapshot);
	if (r == 0 && resumed == -ETIME)
		return report(error, resumed, "no snapshot was made: %s", why.text);
	if (r < 0 && resumed < 0)
		return report_context(error, r, "%s; and no snapshot was made: ", why.text);
	if (r < 0)
		return report_context(error, r, "no snapshot was made: ");
	return resumed < 0 ? report(error, resumed, "the snapshot was made, but %s", why.text) : 0;
}

/* The guest stands still: the guard has paused it, or it was paused or off before. */
static int take_all(struct live_result *result, const struct live_plan *plan, struct freeze_guard *guard,
		    struct sentence *error)
{
	size_t count = result->domain.count;
	struct live_copy *copies = calloc(count, sizeof(*copies));
	int r;

	result->answers = calloc(count, sizeof(struct json_object *));
	r = copies && result->answers ? take_paused(result, plan, guard, copies, error)
				      : report(error, -ENOMEM, "out of memory");
	if (copies)
		free_copies(copies, count);
	return r;
}

/*
 * A disk without changes gave the name to an older layer, which has a label of its own. The weakest
 * label counts for all.
 */
static void find_consistency(struct live_result *result)
{
	static const char *const from_the_weakest[] = { "crash-consistent", "quiesced", "clean" };

	for (size_t label = 0; label < ARRAY_SIZE(from_the_weakest); label++) {
		for (size_t i = 0; i < result->domain.count; i++) {
			const char *found = "";

			json_get_string(result->answers[i], "consistency", &found);
			if (strcmp(found, from_the_weakest[label]) == 0) {
				result->consistency = from_the_weakest[label];
				return;
			}
		}
	}
}

static int pause_guest(const struct virsh *virsh, const struct live_plan *plan, struct live_result *result,
		       struct freeze_guard *guard, struct sentence *error)
{
	struct freeze_guard_plan pause = {
		.virsh = virsh, .domain = result->domain.uuid, .quiesce = plan->quiesce, .timeout_s = plan->timeout_s
	};
	int r;

	if (result->domain.state == DOMAIN_RUNNING) {
		r = freeze_guard_begin(&pause, guard, error);
		result->warning = guard->why_not;
		result->was_frozen = guard->was_frozen;
		return r;
	}
	if (result->domain.state == DOMAIN_OFF || plan->quiesce == QUIESCE_NO)
		return 0;
	report(&result->warning, 0, "the guest is paused, so that its agent cannot answer");
	return plan->quiesce == QUIESCE_REQUIRE ? report(error, -EBUSY, "%s", result->warning.text) : 0;
}

static int snapshot_found(const struct virsh *virsh, const struct live_plan *plan, struct live_result *result,
			  struct sentence *error)
{
	CLEANUP(freeze_guard_endp) struct freeze_guard guard = { .fd = -1 };
	int r = pause_guest(virsh, plan, result, &guard, error);

	if (r < 0)
		return report_context(error, r, "no snapshot was made: ");
	r = take_all(result, plan, &guard, error);
	if (r == 0)
		find_consistency(result);
	return r;
}

int live_snapshot(const struct virsh *virsh, const struct live_plan *plan, struct live_result *result,
		  struct sentence *error)
{
	sigset_t interrupting, before;
	int r;

	sigemptyset(&interrupting);
	sigaddset(&interrupting, SIGINT);
	sigaddset(&interrupting, SIGTERM);
	sigaddset(&interrupting, SIGHUP);
	sigprocmask(SIG_BLOCK, &interrupting, &before);
	r = snapshot_found(virsh, plan, result, error);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
