/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk does when a domain starts and ends.
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
 *
 * release: see end_of_session() below.
 *
 * A request acts on all of a domain's disks: they are claimed in the order of their names, all checked, then all acted on.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "io.h"
#include "json.h"
#include "layer.h"
#include "log.h"
#include "scratch.h"
#include "seal.h"
#include "table.h"

#define SESSION_RECORD "session.json"
#define ANNOUNCEMENT_MS 60000 /* an announced restore lapses: it may fail before it reaches prepare */
#define FIRST_WRITER_MS 60000 /* a domain whose QEMU has not come by then is not coming */
#define WRITERS_GONE_MS 10000 /* libvirt's labelling opens and closes a disk before QEMU does */
#define SNAPSHOT_REVERT_S 60

static const char *const reason_names[] = {
	[END_UNKNOWN] = "unknown", [END_SHUTDOWN] = "shutdown",           [END_DESTROYED] = "destroyed",
	[END_CRASHED] = "crashed", [END_MIGRATED] = "migrated",           [END_SAVED] = "saved",
	[END_FAILED] = "failed",   [END_FROM_SNAPSHOT] = "from snapshot", [END_DAEMON] = "daemon",
};

int end_reason_parse(const char *text, enum end_reason *ret_reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(reason_names); i++)
		if (strcmp(text, reason_names[i]) == 0) {
			*ret_reason = (enum end_reason)i;
			return 0;
		}
	return -EINVAL;
}

/* --- what is known of a session ------------------------------------------------------------------ */

bool session_is_active_locked(const struct disk *disk)
{
	uint64_t now = monotonic_ms();

	if (!disk->session)
		return false;
	if (disk->scratch && disk->scratch->writers)
		return true;
	if (!disk->session_adopted || strcmp(disk->session->boot, disk->disks->boot) != 0)
		return false;
	if (disk->session_had_writer)
		return now - disk->writers_gone < WRITERS_GONE_MS;
	return now - disk->session_since < FIRST_WRITER_MS;
}

bool session_is_strict_locked(const struct disk *disk)
{
	return !disk->session || disk->session->armed || disk->hold || disk->record.strict ||
	       disk->record.leftover_keep || disk->record.keep != KEEP_NOTHING || disk->record.commit_at_release;
}

void session_end(struct disk *disk)
{
	struct session_record *session;

	pthread_mutex_lock(&disk->disks->lock);
	session = disk->session;
	disk->session = NULL;
	view_forget_labels_locked(disk);
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
	if (session) {
		record_clear_session(session);
		free(session);
	}
	/* Not synced: after a host crash a session that comes back is one of another boot, which is over. */
	unlinkat(disk->directory, SESSION_RECORD, 0);
}

/* --- announcements ------------------------------------------------------------------------------- */

static struct announcement **find_announcement_locked(struct disks *disks, const char *uuid)
{
	struct announcement **place = &disks->announcements;
	uint64_t now = monotonic_ms();

	while (*place) {
		struct announcement *here = *place;

		if (now - here->when > ANNOUNCEMENT_MS) {
			*place = here->next;
			free(here);
		} else if (strcmp(here->uuid, uuid) == 0) {
			return place;
		} else {
			place = &here->next;
		}
	}
	return NULL;
}

static void forget_announcement(struct disks *disks, const char *uuid)
{
	struct announcement **place, *here;

	pthread_mutex_lock(&disks->lock);
	place = find_announcement_locked(disks, uuid);
	if (place) {
		here = *place;
		*place = here->next;
		free(here);
	}
	pthread_mutex_unlock(&disks->lock);
}

static bool is_announced(struct disks *disks, const char *uuid)
{
	bool announced;

	pthread_mutex_lock(&disks->lock);
	announced = find_announcement_locked(disks, uuid) != NULL;
	pthread_mutex_unlock(&disks->lock);
	return announced;
}

int session_announce(struct disks *disks, const char *uuid)
{
	struct announcement *announcement = calloc(1, sizeof(*announcement));

	if (!announcement)
		return -ENOMEM;
	forget_announcement(disks, uuid);
	snprintf(announcement->uuid, sizeof(announcement->uuid), "%s", uuid);
	announcement->when = monotonic_ms();
	pthread_mutex_lock(&disks->lock);
	announcement->next = disks->announcements;
	disks->announcements = announcement;
	pthread_mutex_unlock(&disks->lock);
	return 0;
}

/* --- the disks of a request ---------------------------------------------------------------------- */

enum start { START_FRESH, START_RESUME, START_CONTINUE };
enum leftover { LEFT_NOTHING, LEFT_DISCARD, LEFT_ASIDE, LEFT_LOST };

/* A claimed disk, and what is to be done with it. */
struct part {
	struct disk *disk;
	const struct session_item *item; /* NULL at a release that does not name the target */
	enum start start;
	enum leftover leftover;
	const char *prefix; /* of the name under which it is sealed aside */
	bool hold_aside;    /* the hold gets a name of its own before it is let go */
	bool armed, consumed;
	bool done; /* a prepare got as far as the session's record */
	char name[POINT_MAX + 1];
	const char *action; /* for the answer */
};

struct parts {
	struct part *list;
	size_t count;
};

static void release_parts(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		if (parts->list[i].disk)
			disk_release_claim(parts->list[i].disk);
	free(parts->list);
}

static int compare_parts(const void *a, const void *b)
{
	return strcmp(disk_name(((const struct part *)a)->disk), disk_name(((const struct part *)b)->disk));
}

/* Claim what was found, in the order of the names. On failure only what was claimed is let go as claimed. */
static int claim_parts(struct parts *parts, struct sentence *error)
{
	qsort(parts->list, parts->count, sizeof(*parts->list), compare_parts);
	for (size_t i = 0; i < parts->count; i++) {
		if (disk_claim(parts->list[i].disk) == 0)
			continue;
		report(error, -ENOENT, "disk '%s' was unprotected meanwhile", disk_name(parts->list[i].disk));
		for (size_t k = i; k < parts->count; k++)
			disk_put(parts->list[k].disk);
		parts->count = i;
		return -ENOENT;
	}
	return 0;
}

static void let_go_unclaimed(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++)
		disk_put(parts->list[i].disk);
	parts->count = 0;
}

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
			let_go_unclaimed(parts);
			return r;
		}
		parts->count++;
		for (size_t k = 0; k + 1 < parts->count; k++)
			if (parts->list[k].disk == part->disk) {
				report(error, -EINVAL, "disk '%s' is named twice", part->item->name);
				let_go_unclaimed(parts);
				return -EINVAL;
			}
	}
	return claim_parts(parts, error);
}

/* --- prepare: checking --------------------------------------------------------------------------- */

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

	part->start = START_FRESH;
	if (part->disk->hold) {
		if (restoring)
			part->start = START_RESUME;
		else
			part->hold_aside = !record->hold_managed;
		return 0;
	}
	if (restoring) {
		if (!is_kept_for(part->disk, request->uuid) || record->keep == KEEP_NOTHING)
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

static void choose_leftover(struct part *part)
{
	const struct disk_record *record = &part->disk->record;
	bool keep = part->item->has_leftover ? part->item->leftover_keep : record->leftover_keep;
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
	r = image_check(part->disk, part->leftover != LEFT_DISCARD && part->leftover != LEFT_NOTHING, error);
	return r < 0 ? r : check_standing(part, error);
}

/* --- prepare: acting ----------------------------------------------------------------------------- */

/* A scratch that may not be sealed (its header was rewritten) is kept where nothing uses it. */
static int move_to_lost(struct disk *disk, struct sentence *error)
{
	CLEANUP(freep) char *directory = disk_directory_name(disk->name);
	char point[POINT_MAX + 1];
	CLEANUP(freep) char *name = NULL;
	int r;

	disk_free_point_name(disk, "scratch", point);
	name = directory ? format_text("%.100s-%s.qcow2", directory, point) : NULL;
	if (!name)
		return report(error, -ENOMEM, "out of memory");
	r = io_rename(disk->scratch_directory, disk->scratch_name, disk->disks->lost_fd, name);
	if (r == -EXDEV)
		return report(
			error, r,
			"disk '%s': its leftover scratch has a foreign header and lies on another filesystem than the state directory; move it away by hand",
			disk->name);
	if (r < 0)
		return report(error, r,
			      "disk '%s': its leftover scratch has a foreign header and cannot be moved to lost/: %s",
			      disk->name, error_text(r));
	log_warning(
		"disk '%s': its leftover scratch has a header that revertfs did not write; it was not sealed but moved to lost/%s",
		disk->name, name);
	return 0;
}

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

static void let_hold_go(struct part *part, struct disk_record *after)
{
	struct disk *disk = part->disk;
	char point[POINT_MAX + 1];

	if (part->hold_aside) {
		disk_free_point_name(disk, "saved", point);
		if (layer_add_name(disk->hold, point) == 0)
			log_info(
				"disk '%s': domain '%s' was started afresh; what its saved state needs was sealed aside as '%s'",
				disk->name, after->hold_domain, point);
	}
	after->hold[0] = after->hold_uuid[0] = after->hold_domain[0] = '\0';
	after->hold_managed = false;
}

static bool records_differ(const struct disk_record *a, const struct disk_record *b)
{
	return memcmp(a, b, sizeof(*a)) != 0;
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
	after.keep = part->armed ? KEEP_ARMED : KEEP_NOTHING;
	if (part->item->has_leftover)
		after.leftover_keep = part->item->leftover_keep;
	if (part->item->has_revisions)
		after.keep_revisions = part->item->revisions;
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
	r = part->start == START_CONTINUE ? 0 : scratch_renew(disk, disk_base(disk), error);
	if (dropped) {
		layer_collect(dropped);
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
			r = move_to_lost(parts->list[i].disk, error);
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

static void answer_part(struct json_object *list, const struct part *part, const char *target, const char *action)
{
	struct json_object *entry = json_object_new_object();

	json_set_string(entry, "name", part->disk->name);
	json_set_string(entry, "target", target);
	json_set_string(entry, "action", action);
	json_set_bool(entry, "consumed", part->consumed);
	if (part->name[0])
		json_set_string(entry, "point", part->name);
	json_object_array_add(list, entry);
}

int session_prepare(struct disks *disks, const struct session_request *request, struct json_object *answer,
		    struct sentence *error)
{
	static const char *const actions[] = {
		[START_FRESH] = "fresh", [START_RESUME] = "resumed", [START_CONTINUE] = "continued"
	};
	CLEANUP(release_parts) struct parts parts = { 0 };
	bool announced = is_announced(disks, request->uuid);
	struct json_object *list;
	int r = find_parts(disks, request, &parts, error);

	for (size_t i = 0; i < parts.count && r == 0; i++)
		r = check_part(&parts.list[i], request, announced, error);
	if (r == 0)
		r = act_on_parts(disks, &parts, request, error);
	if (r < 0)
		return r;
	forget_announcement(disks, request->uuid);
	list = json_object_new_array();
	for (size_t i = 0; i < parts.count; i++)
		answer_part(list, &parts.list[i], parts.list[i].item->target, actions[parts.list[i].start]);
	json_object_object_add(answer, "disks", list);
	return 0;
}

/* --- release ------------------------------------------------------------------------------------- */

enum end { END_COMMIT, END_RESET, END_HOLD, END_ASIDE, END_DROP, END_KEEP, END_KEEP_SNAPSHOT };

static const char *const end_names[] = {
	[END_COMMIT] = "committed", [END_RESET] = "reset",    [END_HOLD] = "held",          [END_ASIDE] = "aside",
	[END_DROP] = "dropped",     [END_KEEP] = "undecided", [END_KEEP_SNAPSHOT] = "kept",
};

/* All disks whose session is this domain's, whatever the release's XML says. */
static int find_session_parts(struct disks *disks, const struct session_request *request, struct parts *parts,
			      struct sentence *error)
{
	size_t room = 0;

	pthread_mutex_lock(&disks->lock);
	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		room += disk->session && strcmp(disk->session->uuid, request->uuid) == 0;
	parts->list = calloc(room + 1, sizeof(*parts->list));
	for (struct disk *disk = disks->first; disk && parts->list; disk = disk->next_disk)
		if (disk->session && strcmp(disk->session->uuid, request->uuid) == 0) {
			disk->refs++;
			parts->list[parts->count++].disk = disk;
		}
	pthread_mutex_unlock(&disks->lock);
	if (!parts->list)
		return report(error, -ENOMEM, "out of memory");
	return claim_parts(parts, error);
}

static const struct session_item *find_item(const struct session_request *request, const char *target)
{
	for (size_t i = 0; i < request->count; i++)
		if (strcmp(request->items[i].target, target) == 0)
			return &request->items[i];
	return NULL;
}

/* An external snapshot was taken: the path that libvirt uses now is another, and ours is its backing file. */
static bool became_backing(const struct part *part)
{
	const struct session_record *session = part->disk->session;

	return part->item && part->item->source && session->source && strcmp(part->item->source, session->source) != 0;
}

/*
 *   reason                          session         what is done
 *   shutdown, destroyed             armed now       COMMIT
 *   shutdown, destroyed             else            RESET
 *   saved                                           HOLD
 *   failed                          on a hold       DROP: the scratch goes, the hold stays
 *   failed, crashed, daemon         armed           ASIDE
 *   failed, crashed, daemon         else            RESET
 *   from snapshot                                   KEEP for the prepare that follows at once
 *   migrated, unknown; the target is not in the JSON, or has another source now: KEEP, undecided
 */
static enum end end_of_session(const struct part *part, enum end_reason reason)
{
	const struct session_record *session = part->disk->session;
	bool armed_now = (part->item && part->item->armed) || part->disk->record.commit_at_release;

	switch (reason) {
	case END_SHUTDOWN:
	case END_DESTROYED:
		if (!part->item || became_backing(part))
			return END_KEEP;
		return armed_now ? END_COMMIT : END_RESET;
	case END_SAVED:
		return END_HOLD;
	case END_FAILED:
		if (session->on_hold)
			return END_DROP;
		/* fall through */
	case END_CRASHED:
	case END_DAEMON:
		return session->armed || armed_now ? END_ASIDE : END_RESET;
	case END_FROM_SNAPSHOT:
		return END_KEEP_SNAPSHOT;
	case END_MIGRATED:
	case END_UNKNOWN:
		break;
	}
	return END_KEEP;
}

/* disk.json as it is to be after the release. */
static struct disk_record record_after(const struct part *part, const struct session_request *request, enum end end)
{
	struct disk_record after = part->disk->record;

	after.keep = KEEP_NOTHING;
	after.keep_uuid[0] = '\0';
	after.keep_armed = false;
	if (end == END_COMMIT) {
		after.commit_at_release = false;
		snprintf(after.consumed, sizeof(after.consumed), "%s", request->config);
	}
	if (end == END_KEEP || end == END_KEEP_SNAPSHOT) {
		after.keep = end == END_KEEP ? KEEP_UNDECIDED : KEEP_SNAPSHOT;
		after.keep_armed = part->disk->session->armed || after.commit_at_release || became_backing(part);
		after.keep_since = time(NULL);
		snprintf(after.keep_uuid, sizeof(after.keep_uuid), "%s", request->uuid);
	}
	if (end == END_HOLD) {
		snprintf(after.hold_uuid, sizeof(after.hold_uuid), "%s", request->uuid);
		snprintf(after.hold_domain, sizeof(after.hold_domain), "%s", request->domain);
		after.hold_managed = request->saved;
	} else if (end == END_RESET || end == END_ASIDE) {
		after.hold[0] = after.hold_uuid[0] = after.hold_domain[0] = '\0';
		after.hold_managed = false;
	}
	return after;
}

/* A pristine scratch has nothing to commit or put aside; a hold is always sealed, since the saved guest needs its very own layer. */
static bool needs_seal(const struct part *part, enum end end)
{
	if (end == END_HOLD)
		return true;
	if (end == END_COMMIT)
		return part->disk->hold || scratch_is_dirty(part->disk->scratch);
	return end == END_ASIDE && scratch_is_dirty(part->disk->scratch);
}

static enum seal_kind seal_kind_of(enum end end)
{
	return end == END_COMMIT ? SEAL_COMMIT : end == END_HOLD ? SEAL_HOLD : SEAL_ASIDE;
}

/* The sealing of a release failed: the scratch stays as it is, and the record says what it is, in memory at least. */
static void keep_after_failure(struct part *part, const struct session_request *request, enum end end)
{
	struct disk *disk = part->disk;
	struct disk_record record = disk->record;

	record.keep = end == END_HOLD ? KEEP_UNDECIDED : KEEP_UNCOMMITTED;
	record.keep_armed = true;
	record.keep_since = time(NULL);
	snprintf(record.keep_uuid, sizeof(record.keep_uuid), "%s", request->uuid);
	if (disk_save(disk, &record) < 0) {
		log_warning(
			"disk '%s': that its scratch is to be kept cannot be recorded; it is kept as long as revertfs runs",
			disk->name);
		pthread_mutex_lock(&disk->disks->lock);
		disk->record = record;
		pthread_mutex_unlock(&disk->disks->lock);
	}
}

static int seal_ends(struct disks *disks, struct parts *parts, const enum end *ends,
		     const struct session_request *request, struct sentence *error)
{
	CLEANUP(freep) struct seal *seals = calloc(parts->count + 1, sizeof(*seals));
	CLEANUP(freep) size_t *owner = calloc(parts->count + 1, sizeof(*owner));
	size_t count = 0;
	int r = 0;

	if (!seals || !owner)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < parts->count; i++) {
		if (!needs_seal(&parts->list[i], ends[i]))
			continue;
		seals[count] = (struct seal){ .disk = parts->list[i].disk,
					      .kind = seal_kind_of(ends[i]),
					      .prefix = "uncommitted",
					      .after = record_after(&parts->list[i], request, ends[i]) };
		owner[count++] = i;
	}
	if (count)
		r = seal_scratches(disks, seals, count, request->uuid, request->domain, error);
	for (size_t k = 0; k < count && r == 0; k++) {
		strcpy(parts->list[owner[k]].name, seals[k].name);
		layer_put(seals[k].layer);
	}
	return r;
}

/* Record and scratch of a disk whose session ends; what had to be sealed has been. */
static int finish_part(struct part *part, const struct session_request *request, enum end end, bool was_sealed,
		       struct sentence *error)
{
	struct disk *disk = part->disk;
	struct disk_record after = record_after(part, request, end);
	struct layer *dropped = NULL;
	int r;

	if (end == END_HOLD || (end == END_COMMIT && was_sealed))
		return 0;
	if (!after.hold[0] && disk->hold) {
		pthread_mutex_lock(&disk->disks->lock);
		dropped = layer_get_locked(disk->hold);
		pthread_mutex_unlock(&disk->disks->lock);
	}
	r = records_differ(&after, &disk->record) ? disk_save(disk, &after) : 0;
	if (r < 0)
		report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	if (r == 0 && dropped)
		disk_set_hold(disk, NULL);
	if (r == 0 && end != END_KEEP && end != END_KEEP_SNAPSHOT && (dropped || scratch_is_dirty(disk->scratch))) {
		r = scratch_renew(disk, disk_base(disk), error);
		if (r < 0)
			report_context(error, r, "disk '%s': ", disk->name);
	}
	if (r == 0 && dropped)
		layer_collect(dropped);
	layer_put(dropped);
	return r;
}

static int check_release(struct parts *parts, struct sentence *error)
{
	for (size_t i = 0; i < parts->count; i++) {
		struct disk *disk = parts->list[i].disk;
		int r;

		if (!disk->session)
			return report(error, -EBUSY, "disk '%s': the session ended meanwhile", disk->name);
		if (disk->state == DISK_FAILED)
			return report(error, -EIO, "disk '%s' has failed: %s", disk->name, disk->failure.text);
		r = disk_wait_for_writers(disk, error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int end_parts(struct disks *disks, struct parts *parts, const struct session_request *request,
		     struct json_object *list, struct sentence *error)
{
	CLEANUP(freep) enum end *ends = calloc(parts->count + 1, sizeof(*ends));
	CLEANUP(freep) bool *sealing = calloc(parts->count + 1, sizeof(*sealing));
	int sealed, result;

	if (!ends || !sealing)
		return report(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < parts->count; i++) {
		parts->list[i].item = find_item(request, parts->list[i].disk->session->target);
		ends[i] = end_of_session(&parts->list[i], request->reason);
		sealing[i] = needs_seal(&parts->list[i], ends[i]);
	}
	result = sealed = seal_ends(disks, parts, ends, request, error);
	for (size_t i = 0; i < parts->count; i++) {
		struct part *part = &parts->list[i];
		char target[TARGET_SIZE];
		int r = 0;

		strcpy(target, part->disk->session->target);
		if (sealed < 0 && sealing[i])
			keep_after_failure(part, request, ends[i]);
		else
			r = finish_part(part, request, ends[i], sealing[i], error);
		session_end(part->disk);
		if (r < 0 && result == 0)
			result = r;
		answer_part(list, part, target, end_names[ends[i]]);
		if (r == 0 && !(sealed < 0 && sealing[i]))
			log_info("disk '%s': domain '%s' ended (%s): %s", part->disk->name, request->domain,
				 reason_names[request->reason], end_names[ends[i]]);
	}
	return result;
}

int session_release(struct disks *disks, const struct session_request *request, struct json_object *answer,
		    struct sentence *error)
{
	CLEANUP(release_parts) struct parts parts = { 0 };
	struct json_object *list = json_object_new_array();
	int r;

	json_object_object_add(answer, "disks", list);
	r = find_session_parts(disks, request, &parts, error);
	if (r == 0)
		r = check_release(&parts, error);
	if (r == 0)
		r = end_parts(disks, &parts, request, list, error);
	for (size_t i = 0; i < parts.count && r < 0; i++)
		disk_note(parts.list[i].disk, error);
	return r;
}
