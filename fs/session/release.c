/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain ends. What each disk does then, outcome.h has in a table.
 *
 * The disks are those whose sessions were recorded at prepare for this UUID, whatever the release's
 * XML says. Everything that is to be kept is sealed first, all or none; then record, scratch and
 * session of each disk follow.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aside.h"
#include "clone.h"
#include "decision.h"
#include "gc.h"
#include "image.h"
#include "io.h"
#include "job.h"
#include "kept.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "outcome.h"
#include "participant.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "unhooked.h"
#include "claim.h"

static int find_session_participants(struct disks *disks, const struct session_request *request,
				     struct participants *participants, struct sentence *error)
{
	size_t room = 0;

	pthread_mutex_lock(&disks->lock);
	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		room += disk->session && strcmp(disk->session->uuid, request->uuid) == 0;
	participants->list = calloc(room + 1, sizeof(*participants->list));
	for (struct disk *disk = disks->first; disk && participants->list; disk = disk->next_disk)
		if (disk->session && strcmp(disk->session->uuid, request->uuid) == 0) {
			disk->refs++;
			participants->list[participants->count++].disk = disk;
		}
	pthread_mutex_unlock(&disks->lock);
	if (!participants->list)
		return report(error, -ENOMEM, "out of memory");
	return participants_claim(participants, error);
}

static const struct session_item *find_item(const struct session_request *request, const char *target)
{
	for (size_t i = 0; i < request->count; i++)
		if (!request->items[i].unhooked && strcmp(request->items[i].target, target) == 0)
			return &request->items[i];
	return NULL;
}

static enum seal_kind seal_kind_of(enum outcome outcome)
{
	return outcome == OUTCOME_COMMIT ? SEAL_COMMIT : outcome == OUTCOME_HOLD ? SEAL_HOLD : SEAL_ASIDE;
}

/*
 * Sealing failed: the scratch stays as it is, and the record says that its data is to be kept. When
 * that cannot be written, the record in memory says it.
 */
static void record_failure(struct participant *participant, const struct session_request *request)
{
	struct disk *disk = participant->disk;
	struct disk_record record = disk->record;

	record.fate = participant->outcome == OUTCOME_HOLD ? FATE_UNDECIDED : FATE_UNCOMMITTED;
	record.contents = scratch_contents(disk);
	record.fate_armed = true;
	record.fate_since = time(NULL);
	snprintf(record.fate_uuid, sizeof(record.fate_uuid), "%s", request->uuid);
	if (disk_save(disk, &record) < 0) {
		log_warning(
			"disk '%s': that its scratch is to be kept cannot be recorded; it is kept as long as revertfs runs",
			disk->name);
		pthread_mutex_lock(&disk->disks->lock);
		disk->record = record;
		pthread_mutex_unlock(&disk->disks->lock);
	}
}

/*
 * A commit onto an image that was changed outside the mount would make a head that reads as nothing
 * ever was. A layer that is held or sealed aside keeps the data, and changes no head, so it is not
 * refused.
 */
static int check_image(const struct participant *participant, struct sentence *error)
{
	return participant->outcome == OUTCOME_COMMIT ? image_check(participant->disk, true, error) : 0;
}

static int seal_outcomes(struct disks *disks, struct participants *participants, const struct session_request *request,
			 struct sentence *error)
{
	CLEANUP(freep) struct seal *seals = calloc(participants->count + 1, sizeof(*seals));
	size_t count = 0;
	int r = 0;

	if (!seals)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < participants->count && r == 0; i++) {
		struct participant *participant = &participants->list[i];

		if (!participant->sealing)
			continue;
		r = check_image(participant, error);
		seals[count++] = (struct seal){ .disk = participant->disk,
						.kind = seal_kind_of(participant->outcome),
						.snapshot = participant->name[0] ? participant->name : NULL,
						.after = outcome_record(participant, request) };
	}
	if (r == 0 && count)
		r = seal_scratches(disks, seals, count, request->uuid, request->domain, error);
	for (size_t k = 0; k < count && r == 0; k++)
		layer_put(seals[k].layer);
	return r;
}

/*
 * Whether a clone has to take its origin's new head. It has to although it wrote nothing, for the
 * fold of the old head waits for that.
 */
static bool is_behind(const struct disk *disk)
{
	bool behind;

	pthread_mutex_lock(&disk->disks->lock);
	behind = clone_is_behind_locked(disk);
	pthread_mutex_unlock(&disk->disks->lock);
	return behind;
}

static int save_record(struct disk *disk, const struct disk_record *after, struct sentence *error)
{
	int r;

	if (!records_differ(after, &disk->record))
		return 0;
	r = disk_save(disk, after);
	if (r < 0)
		return report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	log_debug("disk", "release '%s': disk.json written", disk->name);
	return 0;
}

static int renew_scratch(struct disk *disk, struct sentence *error)
{
	int r = clone_catch_up(disk, error);

	if (r == 0)
		r = scratch_replace(disk, disk_base(disk), error);
	if (r < 0)
		return report_context(error, r, "disk '%s': ", disk->name);
	log_debug("disk", "release '%s': fresh scratch on layer %s", disk->name, disk_base(disk)->record.id);
	return 0;
}

/*
 * What is kept undecided may be committed later, so the host may crash from now on; in a session
 * that was to be reset the guest's own flushes were not done. Where that fails it is kept all the
 * same, and is not called clean.
 */
static void sync_undecided(const struct participant *participant, struct disk_record *after)
{
	struct disk *disk = participant->disk;
	int r = participant->outcome == OUTCOME_KEEP && scratch_is_dirty(disk->scratch) ? io_sync(disk->scratch->fd)
											: 0;

	if (r == 0)
		return;
	after->fate_clean = false;
	log_warning(
		"disk '%s': what its session wrote is kept, but could not be synced, and may not survive a crash: %s",
		disk->name, error_text(r));
}

/* Record and scratch of a disk whose session ends; what had to be sealed has been. */
static int finish_participant(struct participant *participant, const struct session_request *request,
			      struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct disk_record after = outcome_record(participant, request);
	enum outcome outcome = participant->outcome;
	bool keeps_scratch = outcome_is_undecided(outcome) || outcome == OUTCOME_HOLD;
	struct layer *dropped;
	int r;

	if ((outcome == OUTCOME_HOLD || outcome == OUTCOME_COMMIT) && participant->sealing)
		return 0;
	sync_undecided(participant, &after);
	r = save_record(disk, &after, error);
	if (r < 0)
		return r;
	dropped = after.hold[0] ? NULL : disk_take_hold(disk);
	if (!keeps_scratch && (dropped || is_behind(disk) || scratch_is_dirty(disk->scratch)))
		r = renew_scratch(disk, error);
	if (r == 0 && dropped)
		gc_layer(dropped);
	layer_put(dropped);
	return r;
}

static int check_release(struct participants *participants, struct sentence *error)
{
	for (size_t i = 0; i < participants->count; i++) {
		struct disk *disk = participants->list[i].disk;
		struct sentence why;
		int r;

		if (!disk->session)
			return report(error, -EBUSY, "disk '%s': the session ended meanwhile", disk->name);
		if (disk_has_failed(disk, &why))
			return report(error, -EIO, "disk '%s' has failed: %s", disk->name, why.text);
		r = disk_wait_for_writers(disk, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static void decide(struct participant *participant, const struct session_request *request)
{
	struct disk *disk = participant->disk;
	const char *prefix = outcome_was_armed(participant, request) ? ASIDE_UNCOMMITTED : ASIDE_UNDECIDED;

	participant->outcome = outcome_of_session(participant, request);
	if (participant->outcome == OUTCOME_RESET && disk->scratch && scratch_has_snapshots(disk->scratch)) {
		participant->outcome = OUTCOME_ASIDE;
		prefix = ASIDE_SNAPSHOTS;
	}
	if (participant->outcome == OUTCOME_COMMIT && disk->scratch)
		scratch_warn_of_snapshots(disk->scratch, &participant->warning);
	if (participant->outcome == OUTCOME_ASIDE)
		disk_unused_snapshot_name(disk, prefix, participant->name);
	log_debug("disk", "release '%s': the domain ended (%s), so it is %s", disk->name,
		  end_reason_name(request->reason), outcome_name(participant->outcome));
}

/* As an earlier daemon decided, where one did. */
static void decide_all(struct disks *disks, struct participants *participants, const struct session_request *request,
		       struct handover_decision *before)
{
	for (size_t i = 0; i < participants->count; i++) {
		struct participant *participant = &participants->list[i];

		participant->item = find_item(request, participant->disk->session->target);
		participant->decided = decision_find(before, participant->disk);
		if (participant->decided) {
			participant->outcome = participant->decided->outcome;
			strcpy(participant->name, participant->decided->name);
		} else {
			decide(participant, request);
		}
		participant->sealing = outcome_needs_seal(participant);
	}
	if (!before)
		decision_note(disks, request, participants, false);
}

/* The answer of a daemon that goes on from here says that it failed. */
static void note_failure(const struct participant *participant)
{
	if (participant->decided)
		participant->decided->failed = true;
}

/* `sealed`: what sealing all that had to be sealed ended with. */
static int end_participant(struct participant *participant, const struct session_request *request, int sealed,
			   struct session_result *result, struct sentence *error)
{
	struct disk *disk = participant->disk;
	char target[TARGET_SIZE];
	int r = 0;

	strcpy(target, disk->session->target);
	if (participant->sealing && sealed < 0) {
		record_failure(participant, request);
		r = sealed;
	} else {
		r = finish_participant(participant, request, error);
	}
	if (r < 0)
		note_failure(participant);
	else
		log_info("disk '%s': domain '%s' ended (%s): %s", disk->name, request->domain,
			 end_reason_name(request->reason), outcome_name(participant->outcome));
	session_forget(disk);
	log_debug("disk", "release '%s': session ended", disk->name);
	participant_add_result(participant, target, outcome_name(participant->outcome), result);
	return r;
}

/* A disk whose session an earlier daemon ended for this same request. */
static int tell_of_ended(struct disk *disk, const struct handover_decided *decided, struct session_result *result,
			 struct sentence *error)
{
	struct participant participant = { .disk = disk };

	strcpy(participant.name, decided->name);
	participant_add_result(&participant, decided->target, outcome_name(decided->outcome), result);
	return decided->failed
		       ? report(error, -EIO,
				"disk '%s': its session has ended, but what that left could not be dealt with, and revertfs was "
				"restarted meanwhile: its log says why; what was not sealed is kept, and the next start seals it aside",
				disk->name)
		       : 0;
}

static bool takes_part(const struct participants *participants, const struct disk *disk)
{
	for (size_t i = 0; i < participants->count; i++)
		if (participants->list[i].disk == disk)
			return true;
	return false;
}

static int tell_of_all_ended(struct disks *disks, const struct participants *participants,
			     const struct handover_decision *before, struct session_result *result,
			     struct sentence *error)
{
	int first_error = 0;

	for (size_t i = 0; before && i < before->count; i++) {
		struct disk *disk = decision_disk(disks, &before->disks[i]);
		int r = 0;

		if (disk && !takes_part(participants, disk))
			r = tell_of_ended(disk, &before->disks[i], result, error);
		if (r < 0 && first_error == 0)
			first_error = r;
		disk_put(disk);
	}
	return first_error;
}

static int end_participants(struct disks *disks, struct participants *participants,
			    const struct session_request *request, struct handover_decision *before,
			    struct session_result *result, struct sentence *error)
{
	int sealed, first_error;

	decide_all(disks, participants, request, before);
	first_error = tell_of_all_ended(disks, participants, before, result, error);
	sealed = seal_outcomes(disks, participants, request, error);
	if (first_error == 0)
		first_error = sealed;
	for (size_t i = 0; i < participants->count; i++) {
		int r = end_participant(&participants->list[i], request, sealed, result, error);

		if (r < 0 && first_error == 0)
			first_error = r;
	}
	return first_error;
}

static int release_claimed(struct disks *disks, const struct session_request *request, struct session_result *result,
			   struct sentence *error)
{
	CLEANUP(participants_release) struct participants participants = { 0 };
	struct handover_decision *before = decision_recall(disks, request);
	int r = find_session_participants(disks, request, &participants, error);

	if (r == 0)
		r = check_release(&participants, error);
	if (r == 0)
		r = participants_allocate_result(&participants, before ? before->count : 0, result, error);
	if (r == 0)
		r = end_participants(disks, &participants, request, before, result, error);
	for (size_t i = 0; i < participants.count; i++)
		disk_set_last_error(participants.list[i].disk, r < 0 ? error : &(struct sentence){ "" });
	return r;
}

/* For the hook's log: what waits for a decision, or why the disk has too many layers. */
static void warn(struct participant_result *result)
{
	struct disk *disk = result->disk;

	job_queue(disk);
	LOCKED (&disk->disks->lock)
		if (disk->record.fate == FATE_UNDECIDED)
			kept_waits_locked(disk, &result->warning);
	job_warn(disk, &result->warning);
}

int session_release(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		    struct sentence *error)
{
	int r = release_claimed(disks, request, ret_result, error);

	/*
	 * When the claims have ended: of a claimed disk the warning would say that the claim keeps
	 * its layers from being folded.
	 */
	for (size_t i = 0; i < ret_result->count; i++)
		warn(&ret_result->list[i]);
	if (request->reason == REASON_SHUTDOWN)
		unhooked_note_clean(disks, request);
	return r;
}
