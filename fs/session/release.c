/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does when a domain ends: outcome_of_session() has the table.
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
#include "domain_file.h"
#include "gc.h"
#include "image.h"
#include "job.h"
#include "layer.h"
#include "log.h"
#include "participant.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "claim.h"

enum outcome {
	OUTCOME_COMMIT,
	OUTCOME_RESET,
	OUTCOME_HOLD,
	OUTCOME_ASIDE,
	OUTCOME_DROP,
	OUTCOME_KEEP,
	OUTCOME_KEEP_SNAPSHOT
};

static const char *const outcome_names[] = {
	[OUTCOME_COMMIT] = "committed",   [OUTCOME_RESET] = "reset",  [OUTCOME_HOLD] = "held",
	[OUTCOME_ASIDE] = "aside",        [OUTCOME_DROP] = "dropped", [OUTCOME_KEEP] = "undecided",
	[OUTCOME_KEEP_SNAPSHOT] = "kept",
};

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
		if (strcmp(request->items[i].target, target) == 0)
			return &request->items[i];
	return NULL;
}

/*
 * Whether an external snapshot was taken: libvirt uses another file by now, whose backing file is
 * the scratch.
 */
static bool became_backing(const struct participant *participant)
{
	const struct session_record *session = participant->disk->session;

	return participant->item && participant->item->source && session->source &&
	       strcmp(participant->item->source, session->source) != 0;
}

/*
 * Whether the guest wrote anything, in this session or before it was saved (then there is a hold).
 */
static bool has_data(const struct participant *participant)
{
	return participant->disk->hold || scratch_is_dirty(participant->disk->scratch);
}

/* Not by a version of the file that is used up: prepare said so, but the hook could not write false. */
static bool is_armed(const struct participant *participant, const struct session_request *request)
{
	const struct disk_record *record = &participant->disk->record;

	return record->commit_at_release || (participant->item && participant->item->armed &&
					     !domain_file_is_same(request->config, record->consumed));
}

/*
 *   reason                          session         what is done
 *   shutdown, destroyed             armed now       COMMIT
 *   shutdown, destroyed             else            RESET
 *   saved                                           HOLD
 *   failed                          on a hold       DROP: the scratch goes, the hold stays
 *   failed                          continued       KEEP, undecided: what the session went on with
 *                                   is still needed
 *   failed, crashed, daemon         armed, written  ASIDE
 *   failed, crashed, daemon         else            RESET
 *   from snapshot                                   KEEP for the prepare that follows at once
 *   migrated, unknown                               KEEP, undecided
 *   shutdown, destroyed             the target is not in the JSON, or has another source now:
 *                                   KEEP, undecided
 */
static enum outcome outcome_of_session(const struct participant *participant, const struct session_request *request)
{
	const struct session_record *session = participant->disk->session;
	bool armed_now = is_armed(participant, request);

	switch (request->reason) {
	case REASON_SHUTDOWN:
	case REASON_DESTROYED:
		if (!participant->item || became_backing(participant))
			return OUTCOME_KEEP;
		return armed_now ? OUTCOME_COMMIT : OUTCOME_RESET;
	case REASON_SAVED:
		return OUTCOME_HOLD;
	case REASON_FAILED:
		if (session->on_hold)
			return OUTCOME_DROP;
		if (session->continued)
			return OUTCOME_KEEP;
		__attribute__((fallthrough));
	case REASON_CRASHED:
	case REASON_DAEMON:
		return (session->armed || armed_now) && has_data(participant) ? OUTCOME_ASIDE : OUTCOME_RESET;
	case REASON_FROM_SNAPSHOT:
		return OUTCOME_KEEP_SNAPSHOT;
	case REASON_MIGRATED:
	case REASON_UNKNOWN:
		break;
	}
	return OUTCOME_KEEP;
}

/* disk.json as it is to be after the release. */
static struct disk_record record_after(const struct participant *participant, const struct session_request *request,
				       enum outcome outcome)
{
	struct disk_record after = participant->disk->record;

	after.fate = FATE_DISCARD;
	after.fate_uuid[0] = '\0';
	after.fate_armed = false;
	if (outcome == OUTCOME_COMMIT) {
		after.commit_at_release = false;
		snprintf(after.consumed, sizeof(after.consumed), "%s", request->config);
	}
	if (outcome == OUTCOME_KEEP || outcome == OUTCOME_KEEP_SNAPSHOT) {
		after.fate = outcome == OUTCOME_KEEP ? FATE_UNDECIDED : FATE_SNAPSHOT;
		after.fate_armed =
			participant->disk->session->armed || after.commit_at_release || became_backing(participant);
		after.fate_since = time(NULL);
		snprintf(after.fate_uuid, sizeof(after.fate_uuid), "%s", request->uuid);
	}
	if (outcome == OUTCOME_HOLD) {
		snprintf(after.hold_uuid, sizeof(after.hold_uuid), "%s", request->uuid);
		snprintf(after.hold_domain, sizeof(after.hold_domain), "%s", request->domain);
		after.hold_managed = request->saved;
	} else if (outcome == OUTCOME_RESET || outcome == OUTCOME_ASIDE) {
		record_clear_hold(&after);
	}
	return after;
}

/*
 * A pristine scratch has nothing to commit or to seal aside. A hold is sealed even then, for the
 * saved guest needs a layer that is its own.
 */
static bool needs_seal(const struct participant *participant, enum outcome outcome)
{
	if (outcome == OUTCOME_HOLD)
		return true;
	return (outcome == OUTCOME_COMMIT || outcome == OUTCOME_ASIDE) && has_data(participant);
}

static enum seal_kind seal_kind_of(enum outcome outcome)
{
	return outcome == OUTCOME_COMMIT ? SEAL_COMMIT : outcome == OUTCOME_HOLD ? SEAL_HOLD : SEAL_ASIDE;
}

/*
 * Sealing failed: the scratch stays as it is, and the record says that its data is to be kept. When
 * that cannot be written, the record in memory says it.
 */
static void record_failure(struct participant *participant, const struct session_request *request, enum outcome outcome)
{
	struct disk *disk = participant->disk;
	struct disk_record record = disk->record;

	record.fate = outcome == OUTCOME_HOLD ? FATE_UNDECIDED : FATE_UNCOMMITTED;
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

static int seal_outcomes(struct disks *disks, struct participants *participants, const enum outcome *outcomes,
			 const struct session_request *request, struct sentence *error)
{
	CLEANUP(freep) struct seal *seals = calloc(participants->count + 1, sizeof(*seals));
	CLEANUP(freep) size_t *owner = calloc(participants->count + 1, sizeof(*owner));
	size_t count = 0;
	int r = 0;

	if (!seals || !owner)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < participants->count; i++) {
		if (!needs_seal(&participants->list[i], outcomes[i]))
			continue;
		/*
		 * A commit onto an image that was changed outside the mount would make a head that
		 * reads as nothing ever was. A layer that is held or sealed aside keeps the data,
		 * and changes no head, so it is not refused.
		 */
		r = outcomes[i] == OUTCOME_COMMIT ? image_check(participants->list[i].disk, true, error) : 0;
		if (r < 0)
			return r;
		seals[count] = (struct seal){ .disk = participants->list[i].disk,
					      .kind = seal_kind_of(outcomes[i]),
					      .prefix = ASIDE_UNCOMMITTED,
					      .after = record_after(&participants->list[i], request, outcomes[i]) };
		owner[count++] = i;
	}
	if (count)
		r = seal_scratches(disks, seals, count, request->uuid, request->domain, error);
	for (size_t k = 0; k < count && r == 0; k++) {
		strcpy(participants->list[owner[k]].name, seals[k].name);
		layer_put(seals[k].layer);
	}
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

/* Record and scratch of a disk whose session ends; what had to be sealed has been. */
static int finish_participant(struct participant *participant, const struct session_request *request,
			      enum outcome outcome, bool was_sealed, struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct disk_record after = record_after(participant, request, outcome);
	bool keeps_scratch = outcome == OUTCOME_KEEP || outcome == OUTCOME_KEEP_SNAPSHOT;
	struct layer *dropped;
	int r;

	if (outcome == OUTCOME_HOLD || (outcome == OUTCOME_COMMIT && was_sealed))
		return 0;
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

static int end_participants(struct disks *disks, struct participants *participants,
			    const struct session_request *request, struct session_result *result,
			    struct sentence *error)
{
	CLEANUP(freep) enum outcome *outcomes = calloc(participants->count + 1, sizeof(*outcomes));
	CLEANUP(freep) bool *sealing = calloc(participants->count + 1, sizeof(*sealing));
	int sealed, first_error;

	if (!outcomes || !sealing)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < participants->count; i++) {
		participants->list[i].item = find_item(request, participants->list[i].disk->session->target);
		outcomes[i] = outcome_of_session(&participants->list[i], request);
		log_debug("disk", "release '%s': the domain ended (%s), so it is %s", participants->list[i].disk->name,
			  end_reason_name(request->reason), outcome_names[outcomes[i]]);
		sealing[i] = needs_seal(&participants->list[i], outcomes[i]);
	}
	first_error = sealed = seal_outcomes(disks, participants, outcomes, request, error);
	for (size_t i = 0; i < participants->count; i++) {
		struct participant *participant = &participants->list[i];
		char target[TARGET_SIZE];
		int r = 0;

		strcpy(target, participant->disk->session->target);
		if (sealed < 0 && sealing[i])
			record_failure(participant, request, outcomes[i]);
		else
			r = finish_participant(participant, request, outcomes[i], sealing[i], error);
		session_end(participant->disk);
		log_debug("disk", "release '%s': session ended", participant->disk->name);
		if (r < 0 && first_error == 0)
			first_error = r;
		participant_add_result(participant, target, outcome_names[outcomes[i]], result);
		if (r == 0 && !(sealed < 0 && sealing[i]))
			log_info("disk '%s': domain '%s' ended (%s): %s", participant->disk->name, request->domain,
				 end_reason_name(request->reason), outcome_names[outcomes[i]]);
	}
	return first_error;
}

static int release_claimed(struct disks *disks, const struct session_request *request, struct session_result *result,
			   struct sentence *error)
{
	CLEANUP(participants_release) struct participants participants = { 0 };
	int r = find_session_participants(disks, request, &participants, error);

	if (r == 0)
		r = check_release(&participants, error);
	if (r == 0)
		r = participants_allocate_result(&participants, result, error);
	if (r == 0)
		r = end_participants(disks, &participants, request, result, error);
	for (size_t i = 0; i < participants.count && r < 0; i++)
		disk_set_last_error(participants.list[i].disk, error);
	return r;
}

int session_release(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		    struct sentence *error)
{
	int r = release_claimed(disks, request, ret_result, error);

	/*
	 * When the claims have ended: of a claimed disk the warning would say that the claim keeps
	 * its layers from being folded.
	 */
	for (size_t i = 0; i < ret_result->count; i++) {
		job_queue(ret_result->list[i].disk);
		job_warn(ret_result->list[i].disk, &ret_result->list[i].warning);
	}
	return r;
}
