/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain starts: its disks are found or protected, what each does is chosen and checked
 * (choice.h), and then done for all of them, in an order that a crash cannot hurt:
 *
 *   1. that flags are used up is recorded   the leftovers, which also tell it, go next
 *   2. leftovers are sealed aside, or moved to lost/
 *   3. each disk has its record and its scratch as the session is to find them
 *   4. each session is recorded
 *
 * A prepare that is only to be checked goes the same way up to there: it protects nothing, takes no
 * new content, disturbs no verb and no fold, and an announced restore stays announced. A disk that
 * the domain itself has in use is not looked at: its next start is not yet to come.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "choice.h"
#include "clone.h"
#include "command.h"
#include "decision.h"
#include "gc.h"
#include "domain_file.h"
#include "layer.h"
#include "left_snapshot.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "stacked.h"
#include "table.h"
#include "trouble.h"
#include "claim.h"

/* --- the disks -------------------------------------------------------------------------------- */

/*
 * The disk of that name, or that a snapshot of that name was left on; NULL when there is neither.
 */
static struct disk *find_disk(struct disks *disks, const char *name, bool *ret_on_snapshot)
{
	struct disk *disk = disks_find(disks, name);

	if (disk)
		return disk;
	disk = stacked_on_disk(disks, name, -1, NULL);
	*ret_on_snapshot = disk;
	return disk;
}

static struct disk *find_or_protect(struct disks *disks, const struct session_item *item, bool *ret_on_snapshot,
				    int *ret_error, struct sentence *error)
{
	struct disk *disk = find_disk(disks, item->name, ret_on_snapshot);

	if (disk)
		return disk;
	*ret_error = disk_protect(disks, item->name, item->format, error);
	/* Another prepare may have protected it meanwhile: then it is there. */
	disk = *ret_error == 0 || *ret_error == -EEXIST ? disks_find(disks, item->name) : NULL;
	if (!disk && *ret_error == 0)
		*ret_error = report(error, -ENOENT, "disk '%s' was unprotected meanwhile", item->name);
	return disk;
}

/* As find_or_protect(); NULL and 0: there is nothing to check of it now. */
static struct disk *find_or_check(struct disks *disks, const struct session_request *request,
				  const struct session_item *item, bool *ret_on_snapshot, int *ret_error,
				  struct sentence *error)
{
	struct disk *disk = find_disk(disks, item->name, ret_on_snapshot);
	bool in_use = false;

	if (!disk) {
		*ret_error = disk_check_protect(disks, item->name, item->format, error);
		return NULL;
	}
	LOCKED (&disks->lock)
		in_use = disk->session && strcmp(disk->session->uuid, request->uuid) == 0 &&
			 session_is_active_locked(disk);
	if (!in_use && disk_claim_idle(disk) == 0)
		return disk;
	disk_put(disk);
	return NULL;
}

/* Each is claimed at once: none of the claims waits. */
static int find_checked(struct disks *disks, const struct session_request *request, struct participants *participants,
			struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < request->count && r == 0; i++) {
		struct participant *participant = &participants->list[participants->count];

		participant->item = &request->items[i];
		participant->disk =
			find_or_check(disks, request, participant->item, &participant->on_snapshot, &r, error);
		if (participant->disk)
			participants->count++;
		else
			*participant = (struct participant){ 0 };
	}
	return r;
}

static int find_participants(struct disks *disks, const struct session_request *request,
			     struct participants *participants, struct sentence *error)
{
	participants->list = calloc(request->count + 1, sizeof(*participants->list));
	if (!participants->list)
		return report(error, -ENOMEM, "out of memory");
	if (request->only_check)
		return find_checked(disks, request, participants, error);
	for (size_t i = 0; i < request->count; i++) {
		struct participant *participant = &participants->list[participants->count];
		int r = 0;

		participant->item = &request->items[i];
		participant->disk = find_or_protect(disks, participant->item, &participant->on_snapshot, &r, error);
		if (!participant->disk) {
			participants_put(participants);
			return r;
		}
		participants->count++;
		for (size_t k = 0; k + 1 < participants->count; k++)
			if (participants->list[k].disk == participant->disk) {
				report(error, -EINVAL, "disk '%s' is named twice", participant->item->name);
				participants_put(participants);
				return -EINVAL;
			}
	}
	return participants_claim(participants, error);
}

/* --- acting ----------------------------------------------------------------------------------- */

/*
 * That the flags are used up is told by the leftovers, too, which are put away next. So it is on
 * the medium before that.
 */
static int note_used_up(const struct participants *participants, const struct session_request *request,
			struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < participants->count && r == 0; i++) {
		struct disk *disk = participants->list[i].disk;
		struct disk_record after = disk->record;

		if (participants->list[i].consumed)
			snprintf(after.consumed, sizeof(after.consumed), "%s", request->config);
		if (disk->session && participants->list[i].leftover != LEFT_NOTHING)
			after.commit_at_release = false;
		if (!records_differ(&after, &disk->record))
			continue;
		r = disk_save(disk, &after);
		if (r < 0)
			report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	}
	return r;
}

static int seal_leftovers(struct disks *disks, struct participants *participants, struct sentence *error)
{
	CLEANUP(freep) struct seal *seals = calloc(participants->count + 1, sizeof(*seals));
	size_t count = 0, k = 0;
	int r;

	if (!seals)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < participants->count; i++) {
		struct participant *participant = &participants->list[i];

		if (participant->leftover != LEFT_ASIDE)
			continue;
		left_snapshot_note_layer(&participant->disk->record, participant->note);
		seals[count] = (struct seal){ .disk = participant->disk,
					      .kind = SEAL_ASIDE,
					      .snapshot = participant->name,
					      .note = participant->note,
					      .clean = participant->disk->record.fate_clean,
					      .after = participant->disk->record };
		seals[count].after.fate = FATE_DISCARD;
		count++;
	}
	r = count ? seal_scratches(disks, seals, count, NULL, NULL, error) : 0;
	for (size_t i = 0; i < participants->count && r == 0; i++) {
		struct participant *participant = &participants->list[i];

		if (participant->leftover != LEFT_ASIDE)
			continue;
		log_info("disk '%s': what an earlier session left was sealed aside as '%s'", participant->disk->name,
			 participant->name);
		if (participant->note[0])
			left_snapshot_warn(participant->disk, seals[k].after.snapshot_file, seals[k].layer,
					   &participant->warning);
		layer_put(seals[k].layer);
		k++;
	}
	return r;
}

/*
 * Whether the hold has its name already: a prepare was cut off between giving it and writing the
 * record.
 */
static bool is_aside(const struct layer *hold, const struct disk *disk)
{
	bool is;

	pthread_mutex_lock(&disk->disks->lock);
	is = layer_find_name_locked(hold, disk->name, ASIDE_SAVED "-") != NULL;
	pthread_mutex_unlock(&disk->disks->lock);
	return is;
}

static int name_hold_aside(struct disk *disk, struct sentence *error)
{
	char snapshot[SNAPSHOT_NAME_MAX + 1];
	struct sentence quoted;
	int r;

	disk_unused_snapshot_name(disk, ASIDE_SAVED, snapshot);
	r = layer_add_name(disk->hold, disk->name, snapshot);
	if (r < 0)
		return report(error, r,
			      "disk '%s': what the saved state of domain '%s' needs cannot be kept as '%s': %s; "
			      "restore that, or give it up with 'reset %s force=yes'",
			      disk->name, disk->record.hold_domain, snapshot, error_text(r),
			      quote_name(disk->name, &quoted));
	log_info("disk '%s': domain '%s' was started afresh; what its saved state needs was sealed aside as '%s'",
		 disk->name, disk->record.hold_domain, snapshot);
	return 0;
}

/* disk.json as it is to be in the session. */
static struct disk_record record_in_session(const struct participant *participant, const char *uuid)
{
	struct disk_record after = participant->disk->record;

	if (participant->start == START_FRESH && participant->disk->hold)
		record_clear_hold(&after);
	after.domain_revisions_set = participant->item->has_revisions;
	after.domain_revisions = participant->item->revisions;
	if (participant->start != START_CONTINUE)
		record_clear_unread(&after, uuid);
	/* Whatever ends this session, the snapshot still stands on the scratch. */
	if (participant->on_snapshot) {
		after.fate_clean = false;
		left_snapshot_keep(participant, uuid, &after);
		return after;
	}
	after.fate = participant->armed || after.commit_at_release ? FATE_ARMED
		     : choice_keeps_leftover(participant)          ? FATE_LEFTOVER
								   : FATE_DISCARD;
	/* A fresh scratch is made next, on what the image is now. */
	after.contents = participant->start == START_CONTINUE ? scratch_contents(participant->disk)
							      : layer_contents(participant->disk->root);
	after.fate_torn = after.fate_clean = false;
	return after;
}

static int save_record(const struct participant *participant, const char *uuid, struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct disk_record after = record_in_session(participant, uuid);
	int r;

	if (!records_differ(&after, &disk->record))
		return 0;
	r = disk_save(disk, &after);
	if (r < 0)
		return report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	log_debug("disk", "prepare '%s': disk.json written", disk->name);
	return 0;
}

static int prepare_scratch(const struct participant *participant, struct sentence *error)
{
	struct disk *disk = participant->disk;
	uint64_t bytes = participant->leftover == LEFT_DISCARD ? scratch_allocated(disk->scratch) : 0;
	int r = participant->start == START_FRESH ? clone_catch_up(disk, error) : 0;

	if (r < 0 || participant->start == START_CONTINUE)
		return r;
	r = scratch_replace(disk, disk_base(disk), error);
	if (r == 0 && bytes)
		log_warning("disk '%s': what an earlier session left is thrown away: %llu bytes", disk->name,
			    (unsigned long long)bytes);
	if (r == 0)
		log_debug("disk", "prepare '%s': fresh scratch on layer %s", disk->name, disk_base(disk)->record.id);
	return r;
}

/* Record and scratch, as the session is to find them. */
static int prepare_participant(struct participant *participant, const char *uuid, struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct layer *dropped = NULL;
	int r = 0;

	if (disk->hold && participant->hold_aside && !is_aside(disk->hold, disk))
		r = name_hold_aside(disk, error);
	if (r == 0)
		r = save_record(participant, uuid, error);
	if (r < 0)
		return r;
	if (participant->start == START_FRESH)
		dropped = disk_take_hold(disk);
	r = prepare_scratch(participant, error);
	if (dropped)
		gc_layer(dropped);
	layer_put(dropped);
	return r < 0 ? report_context(error, r, "disk '%s': ", disk->name) : 0;
}

/* What the domain's source is when nothing stands between it and the disk. */
static char *source_of(const struct participant *participant)
{
	const struct disk *disk = participant->disk;

	if (participant->on_snapshot)
		return format_text("%s/%s", disk->disks->options->mount, disk->name);
	return participant->item->source ? strdup(participant->item->source) : NULL;
}

static int record_session(struct participant *participant, const struct session_request *request,
			  struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct session_record *session = calloc(1, sizeof(*session)), *old;
	char version[DOMAIN_FILE_VERSION_SIZE];
	int r;

	if (!session)
		return report(error, -ENOMEM, "out of memory");
	snprintf(session->uuid, sizeof(session->uuid), "%s", request->uuid);
	snprintf(session->domain, sizeof(session->domain), "%s", request->domain);
	snprintf(session->target, sizeof(session->target), "%s", participant->item->target);
	snprintf(session->boot, sizeof(session->boot), "%s", disk->disks->boot);
	snprintf(session->config, sizeof(session->config), "%s", request->config);
	session->is_watched =
		domain_file_look(request->domain, version) == 0 && domain_file_is_same(version, request->config);
	session->mount = handover_mount(disk->disks->handover)->id;
	session->source = source_of(participant);
	session->since = time(NULL);
	session->armed = participant->armed;
	session->keeps_leftover = choice_keeps_leftover(participant);
	session->on_hold = participant->start == START_RESUME;
	session->continued = participant->start == START_CONTINUE;
	session->contents = disk->scratch ? disk->scratch->contents : 0;
	r = record_save_session(&disk->disks->state_guard, disk->directory, SESSION_RECORD, session);
	if (r < 0) {
		record_clear_session(session);
		free(session);
		return report(error, r, "disk '%s': the session cannot be recorded: %s", disk->name, error_text(r));
	}
	pthread_mutex_lock(&disk->disks->lock);
	old = disk->session;
	disk->session = session;
	disk->session_adopted = true;
	disk->session_had_writer = false;
	disk->session_may_be_armed = false;
	disk->session_unsynced = true;
	disk->session_since = monotonic_ms();
	disk->wants_next = true;
	disk->last_error.text[0] = '\0';
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
	if (old) {
		record_clear_session(old);
		free(old);
	}
	log_debug("disk", "prepare '%s': session of domain %s recorded", disk->name, request->uuid);
	if (participant->on_snapshot)
		left_snapshot_say_goes_on(participant, request->domain, &participant->warning);
	return 0;
}

static int lose_scratch(struct participant *participant, struct sentence *error)
{
	CLEANUP(freep)
	char *with = format_text("changes that no layer can be made of (%.300s)", participant->warning.text);
	int r = with ? scratch_to_lost(participant->disk, with, &participant->warning) : -ENOMEM;

	return r < 0 ? report(error, r, "%s", with ? participant->warning.text : "out of memory") : 0;
}

/*
 * What the hook's log is to have, too. A session that begins forgets the disk's last error; what
 * was lost just now has to be seen after that.
 */
static void warn(struct participant *participant)
{
	if (participant->warning.text[0])
		disk_set_last_error(participant->disk, &participant->warning);
	else if (!trouble_of_disk(participant->disk, &participant->warning))
		participant->warning.text[0] = '\0';
}

static int act_on_participants(struct disks *disks, struct participants *participants,
			       const struct session_request *request, struct sentence *error)
{
	int r = note_used_up(participants, request, error);

	if (r == 0)
		r = seal_leftovers(disks, participants, error);
	for (size_t i = 0; i < participants->count && r == 0; i++)
		if (participants->list[i].leftover == LEFT_LOST)
			r = lose_scratch(&participants->list[i], error);
	for (size_t i = 0; i < participants->count && r == 0; i++)
		r = prepare_participant(&participants->list[i], request->uuid, error);
	for (size_t i = 0; i < participants->count && r == 0; i++) {
		r = record_session(&participants->list[i], request, error);
		participants->list[i].has_session = r == 0;
	}
	for (size_t i = 0; i < participants->count && r == 0; i++)
		warn(&participants->list[i]);
	for (size_t i = 0; i < participants->count && r < 0; i++)
		if (participants->list[i].has_session)
			session_forget(participants->list[i].disk);
	return r;
}

int session_prepare(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		    struct sentence *error)
{
	CLEANUP(participants_release) struct participants participants = { 0 };
	struct handover_decision *before = decision_recall(disks, request);
	bool announced = before ? before->announced : session_is_announced(disks, request->uuid);
	int r = find_participants(disks, request, &participants, error);

	for (size_t i = 0; i < participants.count && r == 0; i++) {
		participants.list[i].decided = decision_find(before, participants.list[i].disk);
		r = choice_make(&participants.list[i], request, announced, error);
	}
	if (request->only_check)
		return r;
	if (!before)
		decision_note(disks, request, r == 0 ? &participants : &(struct participants){ 0 }, announced);
	/*
	 * An announcement is for one prepare, also where it is refused: the next start is no
	 * restore.
	 */
	session_forget_announcement(disks, request->uuid);
	if (r == 0)
		r = participants_allocate_result(&participants, 0, ret_result, error);
	if (r == 0)
		r = act_on_participants(disks, &participants, request, error);
	for (size_t i = 0; i < participants.count && r == 0; i++)
		participant_add_result(&participants.list[i], participants.list[i].item->target,
				       choice_start_name(participants.list[i].start), ret_result);
	return r;
}
