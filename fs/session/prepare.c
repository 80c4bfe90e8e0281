/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does when a domain starts.
 *
 * prepare, no hold of the disk:
 *   no restore is announced                     FRESH     the leftover's policy, then a fresh
 *                                               scratch on the head
 *   a revert to a libvirt snapshot just ended   CONTINUE  with the scratch that was kept for it
 *   restore announced, scratch left undecided   CONTINUE  it holds the bytes the saved guest left
 *   on an external snapshot that was left       CONTINUE  with the scratch that it was taken of
 *   restore announced, nothing kept             refuse    the layer that this saved state needs is
 *                                               gone
 * prepare, a hold of this domain:
 *   restore announced, or DOMAIN.save exists    RESUME    a fresh scratch on the hold
 *   managed save is gone                        FRESH     the hold is dropped
 *   saved to a file of the user's               FRESH     the hold is sealed aside, the file may
 *                                               still come back
 * prepare, a hold or an active session of another domain: refuse.
 *
 * leftover: data in a scratch whose session is over
 *   armed, or a commit that failed              sealed aside as uncommitted-TIME
 *   written without a session                   sealed aside as unhooked-TIME
 *   undecided                                   sealed aside as uncommitted-TIME if it was armed or
 *                                               is a file's backing
 *   edited, and armed in the JSON               sealed aside as uncommitted-TIME
 *   unsynced, and armed in the JSON             sealed aside as unsynced-TIME, or moved to lost/
 *                                               where qemu-img has found errors
 *   of a session without an end, whose JSON
 *   was edited since and is armed               sealed aside as uncommitted-TIME
 *   else                                        discarded, or sealed aside as crash-TIME with
 *                                               leftover=keep
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aside.h"
#include "clone.h"
#include "decision.h"
#include "gc.h"
#include "disk.h"
#include "domain_file.h"
#include "foldable.h"
#include "image.h"
#include "io.h"
#include "layer.h"
#include "left_snapshot.h"
#include "lock.h"
#include "log.h"
#include "participant.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "trouble.h"
#include "claim.h"

#define SNAPSHOT_REVERT_S 60 /* a revert to a libvirt snapshot starts the domain at once */

static const char *const start_names[] = {
	[START_FRESH] = "fresh", [START_RESUME] = "resumed", [START_CONTINUE] = "continued"
};
static const char *const leftover_names[] = {
	[LEFT_NOTHING] = "none", [LEFT_DISCARD] = "discarded", [LEFT_ASIDE] = "sealed aside", [LEFT_LOST] = "lost"
};

/*
 * A prepare that is only to be checked goes the same way up to there: it protects nothing, takes no
 * new content, disturbs no verb and no fold, and an announced restore stays announced. A disk that
 * the domain itself has in use is not looked at: its next start is not yet to come.
 */

/* --- the disks -------------------------------------------------------------------------------- */

/*
 * The disk of that name, or that a snapshot of that name was left on; NULL when there is neither.
 */
static struct disk *find_disk(struct disks *disks, const char *name, bool *ret_on_snapshot)
{
	struct disk *disk = disks_find(disks, name);

	if (disk)
		return disk;
	disk = left_snapshot_below(disks, name);
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

/* --- checking --------------------------------------------------------------------------------- */

static int check_owner(const struct disk *disk, const char *uuid, struct sentence *error)
{
	struct disks *disks = disk->disks;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	if (disk->session && strcmp(disk->session->uuid, uuid) != 0 && session_is_active_locked(disk))
		r = report(error, -EBUSY, "disk '%s' is in use by domain '%s'; stop that first", disk->name,
			   disk->session->domain);
	else if (disk->hold && strcmp(disk->record.hold_uuid, uuid) != 0)
		r = report(
			error, -EBUSY,
			"disk '%s' is held for the saved domain '%s'; restore that, or give its saved state up with 'reset %s force=yes'",
			disk->name, disk->record.hold_domain, disk->name);
	pthread_mutex_unlock(&disks->lock);
	return r;
}

static bool is_left_for(const struct disk *disk, const char *uuid)
{
	return disk->record.fate_uuid[0] && strcmp(disk->record.fate_uuid, uuid) == 0;
}

static int choose_start(struct participant *participant, const struct session_request *request, bool announced,
			struct sentence *error)
{
	const struct disk_record *record = &participant->disk->record;
	bool restoring = announced || request->saved;

	participant->start = START_FRESH;
	if (participant->on_snapshot) {
		participant->start = START_CONTINUE;
		return left_snapshot_check(participant, request->uuid, error);
	}
	if (participant->disk->hold) {
		if (restoring)
			participant->start = START_RESUME;
		return 0;
	}
	if (restoring) {
		if (!is_left_for(participant->disk, request->uuid) || record->fate != FATE_UNDECIDED)
			return report(
				error, -ENOENT,
				"disk '%s': the layer that the saved state of domain '%s' needs is gone (it was reset or committed since); "
				"remove the saved state to start it afresh",
				participant->disk->name, request->domain);
		participant->start = START_CONTINUE;
	} else if (record->fate == FATE_SNAPSHOT && is_left_for(participant->disk, request->uuid) &&
		   time(NULL) - record->fate_since <= SNAPSHOT_REVERT_S) {
		participant->start = START_CONTINUE;
	}
	return 0;
}

/* leftover= in the domain's JSON has precedence over `set leftover=`. */
static bool wants_leftovers_sealed(const struct participant *participant)
{
	return participant->item->has_leftover ? participant->item->leftover_keep
					       : participant->disk->record.leftover_keep;
}

/*
 * Whether the domain had a session that no release has ended, of which the version of its file is
 * known.
 */
static bool had_session(const struct disk *disk, const struct session_request *request)
{
	return disk->session && strcmp(disk->session->uuid, request->uuid) == 0 && disk->session->config[0] &&
	       request->config[0];
}

/* Under which name it is sealed aside; NULL: it is not. */
static const char *prefix_of_leftover(const struct participant *participant, const struct session_request *request)
{
	const struct disk_record *record = &participant->disk->record;
	/* What the file of another domain says, this domain's does not tell. */
	bool may_be_armed = participant->item->armed || !is_left_for(participant->disk, request->uuid);

	switch (record->fate) {
	case FATE_ARMED:
	case FATE_UNCOMMITTED:
		return ASIDE_UNCOMMITTED;
	case FATE_UNHOOKED:
		return ASIDE_UNHOOKED;
	case FATE_UNDECIDED:
	case FATE_SNAPSHOT:
		return record->fate_armed ? ASIDE_UNCOMMITTED : NULL;
	case FATE_EDITED:
		if (may_be_armed)
			return ASIDE_UNCOMMITTED;
		break;
	case FATE_UNSYNCED:
		if (may_be_armed)
			return ASIDE_UNSYNCED;
		break;
	case FATE_LEFTOVER:
		return ASIDE_CRASH;
	case FATE_DISCARD:
		if (participant->item->armed && had_session(participant->disk, request) &&
		    !domain_file_is_same(request->config, participant->disk->session->config))
			return ASIDE_UNCOMMITTED;
		break;
	}
	return wants_leftovers_sealed(participant) ? ASIDE_CRASH : NULL;
}

static bool has_leftover(const struct participant *participant)
{
	struct scratch *scratch = participant->disk->scratch;

	return scratch && participant->start != START_CONTINUE && scratch_is_dirty(scratch);
}

/* Whether no layer can be made of it; the warning says why. */
static bool is_unsealable(struct participant *participant)
{
	const struct disk *disk = participant->disk;

	if (disk->record.fate == FATE_UNSYNCED && disk->record.fate_torn) {
		report(&participant->warning, 0, "qemu-img found errors in them after the host's crash");
		return true;
	}
	if (scratch_check_sealable(disk->scratch, true, NULL, &participant->warning) == -EBADMSG)
		return true;
	participant->warning.text[0] = '\0';
	return false;
}

static void choose_leftover(struct participant *participant, const struct session_request *request)
{
	const char *prefix = prefix_of_leftover(participant, request);

	participant->leftover = LEFT_NOTHING;
	if (!has_leftover(participant))
		return;
	participant->leftover = LEFT_DISCARD;
	if (!prefix)
		return;
	participant->leftover = LEFT_LOST;
	if (is_unsealable(participant))
		return;
	participant->leftover = LEFT_ASIDE;
	disk_unused_snapshot_name(participant->disk, prefix, participant->name);
}

/*
 * Whether an earlier session has used up what the domain's file says: its commit was done; or it
 * ended in a crash, of which no release came. What had been written by then is a leftover, and must
 * not have the next session committed, which nobody asked for.
 */
static bool is_used_up(const struct participant *participant, const struct session_request *request)
{
	const struct disk *disk = participant->disk;
	const struct disk_record *record = &disk->record;

	if (domain_file_is_same(request->config, record->consumed))
		return true;
	if (participant->leftover == LEFT_NOTHING)
		return false;
	/*
	 * Which version the file had when the host crashed is not known: it may have been this
	 * one.
	 */
	if ((record->fate == FATE_UNSYNCED || record->fate == FATE_EDITED) && !record->consumed[0] &&
	    is_left_for(disk, request->uuid))
		return true;
	return had_session(disk, request);
}

/* What an earlier daemon decided, and what is left to be done of it. */
static void take_decision(struct participant *participant)
{
	const struct handover_decided *decided = participant->decided;

	participant->start = decided->start;
	participant->leftover = decided->leftover;
	participant->consumed = decided->consumed;
	strcpy(participant->name, decided->name);
	if (!has_leftover(participant) || participant_is_aside(participant))
		participant->leftover = LEFT_NOTHING;
	if (participant->leftover == LEFT_LOST)
		is_unsealable(participant);
}

static int decide(struct participant *participant, const struct session_request *request, bool announced,
		  struct sentence *error)
{
	int r = 0;

	if (participant->decided) {
		take_decision(participant);
	} else {
		r = choose_start(participant, request, announced, error);
		if (r < 0)
			return r;
		choose_leftover(participant, request);
		participant->consumed = participant->item->armed && is_used_up(participant, request);
	}
	participant->hold_aside =
		participant->start == START_FRESH && participant->disk->hold && !participant->disk->record.hold_managed;
	participant->armed = participant->item->armed && !participant->consumed;
	return r;
}

/*
 * A saved guest is to be resumed on this file, so the header must still be what revertfs wrote, and
 * name no other file.
 */
static int check_standing(const struct participant *participant, struct sentence *error)
{
	struct disk *disk = participant->disk;
	CLEANUP(close_fdp) int fd = -1;
	struct sentence why;
	int r = 0;

	if (participant->start == START_CONTINUE && disk->scratch) {
		r = scratch_check(disk->scratch, &why);
	} else if (participant->start == START_RESUME) {
		fd = layer_open_file(disk->hold, O_RDONLY);
		r = fd < 0 ? report(&why, fd, "%s", error_text(fd))
			   : layer_check_header(disk->hold, fd, disk->hold->parent, &why);
	}
	return r < 0 ? report(error, r, "disk '%s' cannot resume the saved guest: %s", disk->name, why.text) : 0;
}

/*
 * A hook never waits for a fold. So where commits are not folded, the chain would grow with each
 * session, and each start would take longer: at twice max-layers a session that is to be committed
 * is refused.
 */
static int check_depth(const struct participant *participant, struct sentence *error)
{
	struct disks *disks = participant->disk->disks;
	struct sentence why;
	bool overdue;

	if (!participant->armed || participant->decided)
		return 0;
	pthread_mutex_lock(&disks->lock);
	overdue = fold_is_overdue_locked(participant->disk, 2 * (size_t)disks->options->max_layers + 1, &why);
	pthread_mutex_unlock(&disks->lock);
	return overdue ? report(error, -EBUSY, "no session that is to be committed begins: %s", why.text) : 0;
}

static int check_participant(struct participant *participant, const struct session_request *request, bool announced,
			     struct sentence *error)
{
	int r;

	if (!participant->disk->head)
		return report(error, -EIO, "%s", participant->disk->failure.text);
	/* A session that had lapsed goes on with the next daemon, and has lost the disk all the same. */
	r = participant->decided ? 0 : check_owner(participant->disk, request->uuid, error);
	if (r == 0)
		r = disk_wait_for_writers(participant->disk, error);
	if (r == 0)
		r = decide(participant, request, announced, error);
	if (r < 0)
		return r;
	r = check_depth(participant, error);
	if (r < 0)
		return r;
	r = (request->only_check ? image_would_be_refused : image_check)(
		participant->disk, participant->start == START_CONTINUE || participant->leftover == LEFT_ASIDE, error);
	if (r == 0)
		r = check_standing(participant, error);
	if (r == 0)
		log_debug("disk", "prepare '%s': checked, it is %s, its leftover is %s", participant->disk->name,
			  start_names[participant->start], leftover_names[participant->leftover]);
	return r;
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
		seals[count] = (struct seal){ .disk = participant->disk,
					      .kind = SEAL_ASIDE,
					      .snapshot = participant->name,
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
	int r;

	disk_unused_snapshot_name(disk, ASIDE_SAVED, snapshot);
	r = layer_add_name(disk->hold, disk->name, snapshot);
	if (r < 0)
		return report(error, r,
			      "disk '%s': what the saved state of domain '%s' needs cannot be kept as '%s': %s; "
			      "restore that, or give it up with 'reset %s force=yes'",
			      disk->name, disk->record.hold_domain, snapshot, error_text(r), disk->name);
	log_info("disk '%s': domain '%s' was started afresh; what its saved state needs was sealed aside as '%s'",
		 disk->name, disk->record.hold_domain, snapshot);
	return 0;
}

/* disk.json as it is to be in the session. */
static struct disk_record record_in_session(const struct participant *participant)
{
	struct disk_record after = participant->disk->record;

	if (participant->start == START_FRESH && participant->disk->hold)
		record_clear_hold(&after);
	after.domain_revisions_set = participant->item->has_revisions;
	after.domain_revisions = participant->item->revisions;
	/* Whatever ends this session, the snapshot still stands on the scratch. */
	if (participant->on_snapshot)
		return after;
	after.fate = participant->armed || after.commit_at_release ? FATE_ARMED
		     : wants_leftovers_sealed(participant)         ? FATE_LEFTOVER
								   : FATE_DISCARD;
	after.fate_torn = false;
	return after;
}

static int save_record(const struct participant *participant, struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct disk_record after = record_in_session(participant);
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
static int prepare_participant(struct participant *participant, struct sentence *error)
{
	struct disk *disk = participant->disk;
	struct layer *dropped = NULL;
	int r = 0;

	if (disk->hold && participant->hold_aside && !is_aside(disk->hold, disk))
		r = name_hold_aside(disk, error);
	if (r == 0)
		r = save_record(participant, error);
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
	session->keeps_leftover = wants_leftovers_sealed(participant);
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
		log_info(
			"disk '%s': domain '%s' goes on with the external snapshot '%s' that was left on it; nothing reverts until 'virsh blockcommit' has taken that back",
			disk->name, request->domain, participant->item->name);
	return 0;
}

static int lose_scratch(struct participant *participant, struct sentence *error)
{
	CLEANUP(freep)
	char *with = format_text("a header or tables that no guest writes (%.300s)", participant->warning.text);
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
		r = prepare_participant(&participants->list[i], error);
	for (size_t i = 0; i < participants->count && r == 0; i++) {
		r = record_session(&participants->list[i], request, error);
		participants->list[i].has_session = r == 0;
	}
	for (size_t i = 0; i < participants->count && r == 0; i++)
		warn(&participants->list[i]);
	for (size_t i = 0; i < participants->count && r < 0; i++)
		if (participants->list[i].has_session)
			session_end(participants->list[i].disk);
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
		r = check_participant(&participants.list[i], request, announced, error);
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
				       start_names[participants.list[i].start], ret_result);
	return r;
}
