/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does when a domain starts.
 *
 * prepare, no hold of the disk:
 *   no restore is announced                     FRESH     the leftover's policy, then a fresh scratch on the head
 *   a revert to a libvirt snapshot just ended   CONTINUE  with the scratch that was kept for it
 *   restore announced, scratch left undecided   CONTINUE  it holds the bytes the saved guest left
 *   restore announced, nothing kept             refuse    the layer that this saved state needs is gone
 * prepare, a hold of this domain:
 *   restore announced, or DOMAIN.save exists    RESUME    a fresh scratch on the hold
 *   managed save is gone                        FRESH     the hold is dropped
 *   saved to a file of the user's               FRESH     the hold is sealed aside, the file may still come back
 * prepare, a hold or an active session of another domain: refuse.
 *
 * leftover: data in a scratch whose session is over
 *   armed, or a commit that failed              sealed aside as uncommitted-TIME
 *   written without a session                   sealed aside as unhooked-TIME
 *   undecided                                   sealed aside as uncommitted-TIME if it was armed or is a file's backing
 *   else                                        discarded, or sealed aside as crash-TIME with leftover=keep
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clone.h"
#include "gc.h"
#include "disk.h"
#include "foldable.h"
#include "image.h"
#include "io.h"
#include "json.h"
#include "layer.h"
#include "log.h"
#include "participant.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "replay.h"
#include "claim.h"

#define SNAPSHOT_REVERT_S 60 /* a revert to a libvirt snapshot starts the domain at once */

/* --- the disks ----------------------------------------------------------------------------------- */

static struct disk *find_or_protect(struct disks *disks, const struct session_item *item, int *ret_error,
				    struct sentence *error)
{
	struct disk *disk = disks_find(disks, item->name);

	if (disk)
		return disk;
	*ret_error = disk_protect(disks, item->name, item->format, error);
	if (*ret_error < 0 && *ret_error != -EEXIST)
		return NULL;
	disk = disks_find(disks, item->name);
	if (!disk)
		*ret_error = report(error, -ENOENT, "disk '%s' was unprotected meanwhile", item->name);
	return disk;
}

static int find_parts(struct disks *disks, const struct session_request *request, struct parts *parts,
		      struct sentence *error)
{
	parts->list = calloc(request->count + 1, sizeof(*parts->list));
	if (!parts->list)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < request->count; i++) {
		struct part *part = &parts->list[parts->count];
		int r = 0;

		part->item = &request->items[i];
		part->disk = find_or_protect(disks, part->item, &r, error);
		if (!part->disk) {
			parts_let_go(parts);
			return r;
		}
		parts->count++;
		for (size_t k = 0; k + 1 < parts->count; k++)
			if (parts->list[k].disk == part->disk) {
				report(error, -EINVAL, "disk '%s' is named twice", part->item->name);
				parts_let_go(parts);
				return -EINVAL;
			}
	}
	return parts_claim(parts, error);
}

/* --- checking ------------------------------------------------------------------------------------- */

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

static bool is_kept_for(const struct disk *disk, const char *uuid)
{
	return disk->record.keep_uuid[0] && strcmp(disk->record.keep_uuid, uuid) == 0;
}

static int choose_start(struct part *part, const struct session_request *request, bool announced,
			struct sentence *error)
{
	const struct disk_record *record = &part->disk->record;
	bool restoring = announced || request->saved;

	part->start = part->goes_on ? START_CONTINUE : START_FRESH;
	if (part->goes_on)
		return 0;
	if (part->disk->hold) {
		if (restoring)
			part->start = START_RESUME;
		else
			part->hold_aside = !record->hold_managed;
		return 0;
	}
	if (restoring) {
		if (!is_kept_for(part->disk, request->uuid) || record->keep != KEEP_UNDECIDED)
			return report(
				error, -ENOENT,
				"disk '%s': the layer that the saved state of domain '%s' needs is gone (it was reset or committed since); "
				"remove the saved state to start it afresh",
				part->disk->name, request->domain);
		part->start = START_CONTINUE;
	} else if (record->keep == KEEP_SNAPSHOT && is_kept_for(part->disk, request->uuid) &&
		   time(NULL) - record->keep_since <= SNAPSHOT_REVERT_S) {
		part->start = START_CONTINUE;
	}
	return 0;
}

/* What the domain's JSON says goes before what `set` said, as long as it says something. */
static bool keeps_leftovers(const struct part *part)
{
	return part->item->has_leftover ? part->item->leftover_keep : part->disk->record.leftover_keep;
}

static void choose_leftover(struct part *part)
{
	const struct disk_record *record = &part->disk->record;
	bool keep = record->keep == KEEP_LEFTOVER || keeps_leftovers(part);
	struct scratch *scratch = part->disk->scratch;

	part->leftover = LEFT_NOTHING;
	if (!scratch || part->start == START_CONTINUE || !scratch_is_dirty(scratch))
		return;
	part->leftover = LEFT_DISCARD;
	if (record->keep == KEEP_ARMED || record->keep == KEEP_UNCOMMITTED)
		part->prefix = "uncommitted";
	else if (record->keep == KEEP_UNHOOKED)
		part->prefix = "unhooked";
	else if (record->keep == KEEP_UNDECIDED || record->keep == KEEP_SNAPSHOT)
		part->prefix = record->keep_armed ? "uncommitted" : NULL;
	else if (keep)
		part->prefix = "crash";
	if (!part->prefix)
		return;
	part->leftover = scratch_check(scratch, NULL) == -EBADMSG ? LEFT_LOST : LEFT_ASIDE;
}

/* A guest comes back to these bytes, so they must be the ones it left, and lead nowhere else. */
static int check_standing(const struct part *part, struct sentence *error)
{
	struct disk *disk = part->disk;
	CLEANUP(close_fdp) int fd = -1;
	struct sentence why;
	int r = 0;

	if (part->start == START_CONTINUE && disk->scratch) {
		r = scratch_check(disk->scratch, &why);
	} else if (part->start == START_RESUME) {
		fd = layer_open_file(disk->hold, O_RDONLY);
		r = fd < 0 ? report(&why, fd, "%s", error_text(fd))
			   : layer_check_header(disk->hold, fd, disk->hold->parent, &why);
	}
	return r < 0 ? report(error, r, "disk '%s' cannot resume the saved guest: %s", disk->name, why.text) : 0;
}

/* A chain that nothing folds would grow with each session, and each start would take longer. Hooks never wait for a fold. */
static int check_depth(const struct part *part, struct sentence *error)
{
	struct disks *disks = part->disk->disks;
	struct sentence why;
	bool overdue;

	if (!part->armed)
		return 0;
	pthread_mutex_lock(&disks->lock);
	overdue = fold_is_overdue_locked(part->disk, 2 * (size_t)disks->options->max_layers + 1, &why);
	pthread_mutex_unlock(&disks->lock);
	return overdue ? report(error, -EBUSY, "no session that is to be committed begins: %s", why.text) : 0;
}

static int check_part(struct part *part, const struct session_request *request, bool announced, struct sentence *error)
{
	int r;

	if (!part->disk->head)
		return report(error, -EIO, "%s", part->disk->failure.text);
	r = check_owner(part->disk, request->uuid, error);
	if (r == 0)
		r = disk_wait_for_writers(part->disk, error);
	if (r == 0)
		r = choose_start(part, request, announced, error);
	if (r < 0)
		return r;
	choose_leftover(part);
	part->consumed =
		part->item->armed && request->config[0] && strcmp(request->config, part->disk->record.consumed) == 0;
	part->armed = part->item->armed && !part->consumed;
	r = check_depth(part, error);
	if (r < 0)
		return r;
	r = image_check(part->disk,
			part->start == START_CONTINUE ||
				(part->leftover != LEFT_DISCARD && part->leftover != LEFT_NOTHING),
			error);
	return r < 0 ? r : check_standing(part, error);
}

/* --- acting --------------------------------------------------------------------------------------- */

static int seal_leftovers(struct disks *disks, struct parts *parts, struct sentence *error)
{
	CLEANUP(freep) struct seal *seals = calloc(parts->count + 1, sizeof(*seals));
	size_t count = 0, k = 0;
	int r;

	if (!seals)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->list[i];

		if (part->leftover != LEFT_ASIDE)
			continue;
		seals[count] = (struct seal){
			.disk = part->disk, .kind = SEAL_ASIDE, .prefix = part->prefix, .after = part->disk->record
		};
		seals[count].after.keep = KEEP_NOTHING;
		count++;
	}
	r = count ? seal_scratches(disks, seals, count, NULL, NULL, error) : 0;
	for (size_t i = 0; i < parts->count && r == 0; i++) {
		struct part *part = &parts->list[i];

		if (part->leftover != LEFT_ASIDE)
			continue;
		strcpy(part->name, seals[k].name);
		log_info("disk '%s': what an earlier session left was sealed aside as '%s'", part->disk->name,
			 part->name);
		layer_put(seals[k].layer);
		k++;
	}
	return r;
}

/* By a prepare that was cut off before it came to the record. */
static bool is_aside(const struct layer *hold, const struct disk *disk)
{
	bool is;

	pthread_mutex_lock(&disk->disks->lock);
	is = layer_find_name_locked(hold, disk->name, "saved-") != NULL;
	pthread_mutex_unlock(&disk->disks->lock);
	return is;
}

static void let_hold_go(struct part *part, struct disk_record *after)
{
	struct disk *disk = part->disk;
	char point[POINT_MAX + 1];

	if (part->hold_aside && !is_aside(disk->hold, disk)) {
		disk_free_point_name(disk, "saved", point);
		if (layer_add_name(disk->hold, disk->name, point) == 0)
			log_info(
				"disk '%s': domain '%s' was started afresh; what its saved state needs was sealed aside as '%s'",
				disk->name, after->hold_domain, point);
	}
	after->hold[0] = after->hold_uuid[0] = after->hold_domain[0] = '\0';
	after->hold_managed = false;
}

static int save_prepared(struct part *part, struct sentence *error)
{
	struct disk *disk = part->disk;
	struct disk_record after = disk->record;
	struct layer *dropped = NULL;
	int r;

	if (disk->hold && part->start == START_FRESH) {
		dropped = disk->hold;
		let_hold_go(part, &after);
	}
	after.keep = part->armed || after.commit_at_release ? KEEP_ARMED
		     : keeps_leftovers(part)                ? KEEP_LEFTOVER
							    : KEEP_NOTHING;
	after.domain_revisions_set = part->item->has_revisions;
	after.domain_revisions = part->item->revisions;
	if (records_differ(&after, &disk->record)) {
		r = disk_save(disk, &after);
		if (r < 0)
			return report(error, r, "disk '%s': its record cannot be written: %s", disk->name,
				      error_text(r));
	}
	if (dropped) {
		pthread_mutex_lock(&disk->disks->lock);
		layer_get_locked(dropped);
		pthread_mutex_unlock(&disk->disks->lock);
		disk_set_hold(disk, NULL);
	}
	r = part->start == START_FRESH ? clone_catch_up(disk, error) : 0;
	if (r == 0 && part->start != START_CONTINUE)
		r = scratch_renew(disk, disk_base(disk), error);
	if (dropped) {
		collect_layer(dropped);
		layer_put(dropped);
	}
	return r < 0 ? report_context(error, r, "disk '%s': ", disk->name) : 0;
}

static int record_session(struct part *part, const struct session_request *request, struct sentence *error)
{
	struct disk *disk = part->disk;
	struct session_record *session = calloc(1, sizeof(*session)), *old;
	int r;

	if (!session)
		return report(error, -ENOMEM, "out of memory");
	snprintf(session->uuid, sizeof(session->uuid), "%s", request->uuid);
	snprintf(session->domain, sizeof(session->domain), "%s", request->domain);
	snprintf(session->target, sizeof(session->target), "%s", part->item->target);
	snprintf(session->boot, sizeof(session->boot), "%s", disk->disks->boot);
	session->mount = handover_mount(disk->disks->handover)->id;
	session->source = part->item->source ? strdup(part->item->source) : NULL;
	session->since = time(NULL);
	session->armed = part->armed;
	session->on_hold = part->start == START_RESUME;
	session->continued = part->start == START_CONTINUE;
	r = record_save_session(disk->directory, SESSION_RECORD, session);
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
	disk->session_since = monotonic_ms();
	disk->wants_next = true;
	disk->last_error.text[0] = '\0';
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
	if (old) {
		record_clear_session(old);
		free(old);
	}
	return 0;
}

static int act_on_parts(struct disks *disks, struct parts *parts, const struct session_request *request,
			struct sentence *error)
{
	int r = seal_leftovers(disks, parts, error);

	for (size_t i = 0; i < parts->count && r == 0; i++)
		if (parts->list[i].leftover == LEFT_LOST)
			r = scratch_to_lost(parts->list[i].disk, "a header that revertfs did not write", error);
	for (size_t i = 0; i < parts->count && r == 0; i++)
		r = save_prepared(&parts->list[i], error);
	for (size_t i = 0; i < parts->count && r == 0; i++) {
		r = record_session(&parts->list[i], request, error);
		parts->list[i].done = r == 0;
	}
	for (size_t i = 0; i < parts->count && r < 0; i++)
		if (parts->list[i].done)
			session_end(parts->list[i].disk);
	return r;
}

/*
 * What was chosen is noted before anything is changed, for what is found afterwards no longer says it: the announcement is used up, and a scratch that
 * goes on is no longer kept for anyone. An earlier daemon may have been killed anywhere from there on.
 */
static void note_choice(struct disks *disks, const struct session_request *request, const struct parts *parts,
			bool announced)
{
	struct kept_request found = { .announced = announced };

	if (!request->ticket)
		return;
	found.line = request->ticket->kept ? request->ticket->kept->line : 0;
	for (size_t i = 0; i < parts->count && i < sizeof(found.head) - 1; i++)
		found.head[i] = (char)('0' + parts->list[i].start);
	ticket_note_next(disks->handover, request->ticket, &found);
}

/* What an earlier daemon noted, or NULL. A write of several lines may have a note of another one. */
static const struct kept_request *recall_choice(struct disks *disks, const struct session_request *request)
{
	const struct kept_request *before = request->ticket ? ticket_recall(disks->handover, request->ticket) : NULL;

	return before && before->head[0] ? before : NULL;
}

int session_prepare(struct disks *disks, const struct session_request *request, struct json_object *answer,
		    struct sentence *error)
{
	static const char *const actions[] = {
		[START_FRESH] = "fresh", [START_RESUME] = "resumed", [START_CONTINUE] = "continued"
	};
	CLEANUP(parts_release) struct parts parts = { 0 };
	const struct kept_request *before = recall_choice(disks, request);
	bool announced = before ? before->announced : session_is_announced(disks, request->uuid);
	struct json_object *list;
	int r = find_parts(disks, request, &parts, error);

	for (size_t i = 0; i < parts.count && r == 0; i++) {
		parts.list[i].goes_on = before && i < sizeof(before->head) && before->head[i] == '0' + START_CONTINUE;
		r = check_part(&parts.list[i], request, announced, error);
	}
	if (r == 0 && !before)
		note_choice(disks, request, &parts, announced);
	/* Used up, whatever comes of it: a start that follows a refused restore is no restore. */
	session_forget_announcement(disks, request->uuid);
	if (r == 0)
		r = act_on_parts(disks, &parts, request, error);
	if (r < 0)
		return r;
	list = json_object_new_array();
	for (size_t i = 0; i < parts.count; i++)
		part_answer(list, &parts.list[i], parts.list[i].item->target, actions[parts.list[i].start]);
	json_object_object_add(answer, "disks", list);
	return 0;
}
