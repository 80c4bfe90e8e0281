/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "outcome.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "domain_file.h"
#include "left_snapshot.h"
#include "scratch.h"

static const char *const outcome_names[] = {
	[OUTCOME_COMMIT] = "committed",   [OUTCOME_RESET] = "reset",  [OUTCOME_HOLD] = "held",
	[OUTCOME_ASIDE] = "aside",        [OUTCOME_DROP] = "dropped", [OUTCOME_KEEP] = "undecided",
	[OUTCOME_KEEP_SNAPSHOT] = "kept",
};

const char *outcome_name(enum outcome outcome)
{
	return outcome_names[outcome];
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

/*
 * Not by a version of the file that is used up: prepare said so, but the hook could not write
 * false.
 */
static bool is_armed(const struct participant *participant, const struct session_request *request)
{
	const struct disk_record *record = &participant->disk->record;

	return record->commit_at_release || (participant->item && participant->item->armed &&
					     !domain_file_is_same(request->config, record->consumed));
}

bool outcome_was_armed(const struct participant *participant, const struct session_request *request)
{
	return participant->disk->session->armed || is_armed(participant, request);
}

enum outcome outcome_of_session(const struct participant *participant, const struct session_request *request)
{
	const struct session_record *session = participant->disk->session;

	switch (request->reason) {
	case REASON_SHUTDOWN:
	case REASON_DESTROYED:
		if (!participant->item || became_backing(participant))
			return OUTCOME_KEEP;
		return is_armed(participant, request) ? OUTCOME_COMMIT : OUTCOME_RESET;
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
		return (outcome_was_armed(participant, request) || !participant->item) && has_data(participant)
			       ? OUTCOME_ASIDE
			       : OUTCOME_RESET;
	case REASON_FROM_SNAPSHOT:
		return OUTCOME_KEEP_SNAPSHOT;
	case REASON_MIGRATED:
	case REASON_UNKNOWN:
		break;
	}
	return OUTCOME_KEEP;
}

bool outcome_is_undecided(enum outcome outcome)
{
	return outcome == OUTCOME_KEEP || outcome == OUTCOME_KEEP_SNAPSHOT;
}

/*
 * What could not be read was meant for this session, as soon as it can be; so was the flag of one
 * that an external snapshot kept from its commit. It was read where anything was decided.
 */
static void note_unread(const struct participant *participant, const struct session_request *request,
			struct disk_record *after)
{
	if (!outcome_is_undecided(participant->outcome)) {
		record_clear_unread(after, request->uuid);
	} else if (!participant->item || (became_backing(participant) && outcome_was_armed(participant, request))) {
		snprintf(after->unread_uuid, sizeof(after->unread_uuid), "%s", request->uuid);
		snprintf(after->unread_target, sizeof(after->unread_target), "%s", participant->disk->session->target);
	}
}

struct disk_record outcome_record(const struct participant *participant, const struct session_request *request)
{
	struct disk_record after = participant->disk->record;
	enum outcome outcome = participant->outcome;

	after.fate = FATE_DISCARD;
	after.fate_uuid[0] = '\0';
	after.fate_armed = after.fate_unread = after.fate_clean = false;
	after.snapshot_file[0] = '\0';
	note_unread(participant, request, &after);
	/* It was for this session, of which all that there is has a name. */
	if (outcome == OUTCOME_COMMIT || outcome == OUTCOME_ASIDE)
		after.commit_at_release = false;
	if (outcome == OUTCOME_COMMIT)
		snprintf(after.consumed, sizeof(after.consumed), "%s", request->config);
	if (outcome_is_undecided(outcome)) {
		after.fate = outcome == OUTCOME_KEEP ? FATE_UNDECIDED : FATE_SNAPSHOT;
		after.contents = scratch_contents(participant->disk);
		after.fate_armed = outcome_was_armed(participant, request) || became_backing(participant);
		after.fate_unread = strcmp(after.unread_uuid, request->uuid) == 0;
		after.fate_clean = request->reason == REASON_SHUTDOWN && !became_backing(participant);
		after.fate_since = time(NULL);
		snprintf(after.fate_uuid, sizeof(after.fate_uuid), "%s", request->uuid);
		if (became_backing(participant))
			left_snapshot_note(participant->item->source, &after);
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

bool outcome_needs_seal(const struct participant *participant)
{
	switch (participant->outcome) {
	case OUTCOME_HOLD:
		return !participant->disk->hold || scratch_is_dirty(participant->disk->scratch);
	case OUTCOME_COMMIT:
		return has_data(participant);
	case OUTCOME_ASIDE:
		return has_data(participant) && !participant_is_aside(participant);
	default:
		return false;
	}
}
