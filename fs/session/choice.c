/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "choice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "aside.h"
#include "command.h"
#include "domain_file.h"
#include "foldable.h"
#include "image.h"
#include "layer.h"
#include "layer_header.h"
#include "left_snapshot.h"
#include "log.h"
#include "scratch.h"
#include "session.h"
#include "table.h"
#include "claim.h"

#define SNAPSHOT_REVERT_S 60 /* a revert to a libvirt snapshot starts the domain at once */

static const char *const start_names[] = {
	[START_FRESH] = "fresh", [START_RESUME] = "resumed", [START_CONTINUE] = "continued"
};
static const char *const leftover_names[] = {
	[LEFT_NOTHING] = "none", [LEFT_DISCARD] = "discarded", [LEFT_ASIDE] = "sealed aside", [LEFT_LOST] = "lost"
};

const char *choice_start_name(enum start_kind start)
{
	return start_names[start];
}

/*
 * --- the start ----------------------------------------------------------------------------------
 */

static int check_owner(const struct disk *disk, const char *uuid, struct sentence *error)
{
	struct disks *disks = disk->disks;
	struct sentence quoted;
	int r = 0;

	pthread_mutex_lock(&disks->lock);
	if (disk->session && strcmp(disk->session->uuid, uuid) != 0 && session_is_active_locked(disk))
		r = report(error, -EBUSY, "disk '%s' is in use by domain '%s'; stop that first", disk->name,
			   disk->session->domain);
	else if (disk->hold && strcmp(disk->record.hold_uuid, uuid) != 0)
		r = report(
			error, -EBUSY,
			"disk '%s' is held for the saved domain '%s'; restore that, or give its saved state up with 'reset %s force=yes'",
			disk->name, disk->record.hold_domain, quote_name(disk->name, &quoted));
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
bool choice_keeps_leftover(const struct participant *participant)
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

/* ... and it was edited since, so that nobody has read what it said when that session was over. */
static bool was_edited(const struct disk *disk, const struct session_request *request)
{
	return had_session(disk, request) && !domain_file_is_same(request->config, disk->session->config);
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
		if (record->fate_armed)
			return ASIDE_UNCOMMITTED;
		if (record->fate_unread)
			return ASIDE_UNDECIDED;
		break;
	case FATE_UNSYNCED:
		if (may_be_armed)
			return ASIDE_UNSYNCED;
		break;
	case FATE_LEFTOVER:
		return ASIDE_CRASH;
	case FATE_EDITED:
		if (may_be_armed)
			return ASIDE_UNCOMMITTED;
		__attribute__((fallthrough));
	case FATE_DISCARD:
		if (was_edited(participant->disk, request))
			return participant->item->armed ? ASIDE_UNCOMMITTED : ASIDE_UNDECIDED;
		break;
	}
	if (choice_keeps_leftover(participant))
		return ASIDE_CRASH;
	/* What was never synced may be torn. */
	return record->fate != FATE_UNSYNCED && scratch_has_snapshots(participant->disk->scratch) ? ASIDE_SNAPSHOTS
												  : NULL;
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
		report(&participant->warning, 0, "qemu-img found errors in its tables after the host's crash");
		return true;
	}
	if (scratch_check_sealable(disk->scratch, true, NULL, &participant->warning) == -EBADMSG)
		return true;
	participant->warning.text[0] = '\0';
	return false;
}

static void choose_leftover(struct participant *participant, const struct session_request *request)
{
	const char *prefix;

	participant->leftover = LEFT_NOTHING;
	if (!has_leftover(participant))
		return;
	participant->leftover = LEFT_DISCARD;
	prefix = prefix_of_leftover(participant, request);
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
 * ended while the file could not be read, and what it says now was meant for that one; or it ended
 * in a crash, of which no release came. What had been written by then, if anything, is a
 * leftover, and the flag must not have the next session committed, which nobody asked for.
 */
static bool is_used_up(const struct participant *participant, const struct session_request *request)
{
	const struct disk *disk = participant->disk;
	const struct disk_record *record = &disk->record;

	if (domain_file_is_same(request->config, record->consumed) ||
	    (participant->start != START_CONTINUE && strcmp(record->unread_uuid, request->uuid) == 0))
		return true;
	if (participant->leftover == LEFT_NOTHING)
		return participant->start == START_FRESH && had_session(disk, request) && session_may_have_run(disk);
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

/* A start would put it aside. */
static int refuse_data(const struct disk *disk, const char *target, struct sentence *error)
{
	struct sentence quoted;

	return report(error, -EBUSY,
		      "disk '%s' keeps its data (reverts=no): take '%s' out of the domain's file, "
		      "or have it revert with 'set %s reverts=yes'",
		      disk->name, target, quote_name(disk->name, &quoted));
}

int choice_make(struct participant *participant, const struct session_request *request, bool announced,
		struct sentence *error)
{
	int r;

	if (!participant->disk->head)
		return report(error, -EIO, "%s", participant->disk->failure.text);
	if (participant->disk->record.keeps_data)
		return refuse_data(participant->disk, participant->item->target, error);
	/*
	 * A session that had lapsed goes on with the next daemon, and has lost the disk all the
	 * same.
	 */
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
