/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A session that begins armed is strict, and disk.json says so. Where it is armed later, this is
 * made up for:
 *
 *   1. the session is strict               what its guest flushes from here on reaches the medium
 *   2. sync the scratch                    so has what it flushed before
 *   3. write disk.json: armed, or edited   from here on a crash leaves it to the next prepare
 *   4. write and sync session.json         which version of the domain's file meant this session
 *
 * A crash before step 3 leaves what an edit leaves that nobody has noticed (daemon/crashed.c).
 * The sync may take long; nothing is claimed meanwhile, so that the session may end, and then its
 * end has decided.
 *
 * `revertctl commit-once` asks for that. An editor does not. But the daemon, which reads no
 * domain's file, sees that there is another version: what is there is synced in case, and the
 * next prepare, which knows what the file says, decides about it.
 */
#include "arm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "disk.h"
#include "domain_file.h"
#include "io.h"
#include "lock.h"
#include "log.h"
#include "participant.h"
#include "scratch.h"
#include "session.h"
#include "table.h"

/* What is to be noted of a disk's session, if it is this domain's. */
struct note {
	const char *uuid;
	const char *version; /* of the domain's file */
	enum fate fate;      /* FATE_ARMED, or FATE_EDITED: it may be */
};

static bool is_session_of_locked(const struct disk *disk, const char *uuid)
{
	return disk->session && strcmp(disk->session->uuid, uuid) == 0;
}

/* Step 1: the scratch to be synced, a reference; NULL where there is no such session any more. */
static struct scratch *make_strict(struct disk *disk, const struct note *note)
{
	bool is_there = false;

	LOCKED (&disk->disks->lock) {
		is_there = is_session_of_locked(disk, note->uuid);
		if (is_there && note->fate == FATE_ARMED)
			disk->session->armed = true;
		disk->session_may_be_armed |= is_there;
	}
	return is_there ? disk_scratch(disk) : NULL;
}

/* Whether data that would be discarded is to be kept now. */
static bool changes_fate(enum fate from, enum fate to)
{
	return from == FATE_DISCARD || (to == FATE_ARMED && (from == FATE_LEFTOVER || from == FATE_EDITED));
}

/* Steps 3 and 4, for the session as it is in memory; the disk is claimed. */
static int write_records(struct disk *disk, const struct disk_record *after, const char *version)
{
	int r = records_differ(after, &disk->record) ? disk_save(disk, after) : 0;

	if (r < 0)
		return r;
	LOCKED (&disk->disks->lock)
		snprintf(disk->session->config, sizeof(disk->session->config), "%s", version);
	return session_save(disk);
}

static int keep_claimed(struct disk *disk, const struct scratch *synced, const struct note *note, bool *ret_kept)
{
	struct disk_record after = disk->record;

	LOCKED (&disk->disks->lock)
		*ret_kept = is_session_of_locked(disk, note->uuid) && disk->scratch == synced;
	if (!*ret_kept)
		return 0;
	if (changes_fate(after.fate, note->fate)) {
		after.fate = note->fate;
		after.contents = scratch_contents(disk);
		snprintf(after.fate_uuid, sizeof(after.fate_uuid), "%s", note->uuid);
	}
	return write_records(disk, &after, note->version);
}

/* All steps. *ret_kept: the session has not ended meanwhile. */
static int keep_session(struct disk *disk, const struct note *note, bool *ret_kept)
{
	struct scratch *scratch = make_strict(disk, note);
	int r = scratch ? io_sync(scratch_fd(scratch)) : 0;

	*ret_kept = false;
	if (scratch && r == 0)
		r = disk_claim(disk);
	if (scratch && r == 0) {
		r = keep_claimed(disk, scratch, note, ret_kept);
		disk_unclaim(disk);
	}
	scratch_put(scratch);
	return r == -ENOENT ? 0 : r; /* unprotected meanwhile */
}

/* ---- by a command */

static int disarm_claimed(struct disk *disk, const struct session_request *request, bool *ret_found)
{
	struct disk_record after = disk->record;

	LOCKED (&disk->disks->lock)
		*ret_found = is_session_of_locked(disk, request->uuid);
	if (!*ret_found)
		return 0;
	if ((after.fate == FATE_ARMED || after.fate == FATE_EDITED) && !after.commit_at_release)
		after.fate = disk->session->keeps_leftover ? FATE_LEFTOVER : FATE_DISCARD;
	LOCKED (&disk->disks->lock) {
		disk->session->armed = false;
		disk->session_may_be_armed = false;
	}
	return write_records(disk, &after, request->config);
}

static int disarm(struct disk *disk, const struct session_request *request, bool *ret_found)
{
	int r = disk_claim(disk);

	*ret_found = false;
	if (r < 0)
		return 0;
	r = disarm_claimed(disk, request, ret_found);
	disk_unclaim(disk);
	return r;
}

/* The disk that the domain's running session has at this target: a reference, or NULL. */
static struct disk *find_target(struct disks *disks, const char *uuid, const char *target)
{
	struct disk *found = NULL;

	LOCKED (&disks->lock) {
		for (struct disk *disk = disks->first; disk && !found; disk = disk->next_disk)
			if (is_session_of_locked(disk, uuid) && strcmp(disk->session->target, target) == 0)
				found = disk;
		if (found)
			found->refs++;
	}
	return found;
}

/* Nothing of a session can be kept that stands on what its image was. */
static int check_image(struct disk *disk, struct sentence *error)
{
	struct scratch *scratch = disk_scratch(disk);
	int r = scratch ? scratch_check_image(scratch, error) : 0;

	scratch_put(scratch);
	return r;
}

static int arm_target(struct disk *disk, const struct session_item *item, const struct session_request *request,
		      struct session_result *result, struct sentence *error)
{
	const struct note note = { .uuid = request->uuid, .version = request->config, .fate = FATE_ARMED };
	const struct participant participant = { .disk = disk };
	struct sentence why;
	bool found = false;
	int r = item->armed ? check_image(disk, &why) : 0;

	if (r < 0)
		return report(error, r, "disk '%s': its session cannot be armed: %s", disk->name, why.text);
	r = item->armed ? keep_session(disk, &note, &found) : disarm(disk, request, &found);
	if (r < 0)
		return report(
			error, r,
			"disk '%s': that its session is %s cannot be made sure of: %s; a crash of the host may %s",
			disk->name, item->armed ? "armed" : "not armed any more", error_text(r),
			item->armed ? "lose what it has written" : "leave what it has written");
	if (!found)
		return 0;
	log_info("disk '%s': its running session is %s", disk->name, item->armed ? "armed" : "not armed any more");
	participant_add_result(&participant, item->target, item->armed ? "armed" : "disarmed", result);
	return 0;
}

/* ---- of a session that has ended without it being known whether it was armed */

static bool is_unread_locked(const struct disk *disk, const struct session_request *request)
{
	const struct disk_record *record = &disk->record;

	if (strcmp(record->unread_uuid, request->uuid) != 0 || is_session_of_locked(disk, request->uuid))
		return false;
	for (size_t i = 0; i < request->count; i++)
		if (strcmp(record->unread_target, request->items[i].target) == 0)
			return true;
	return false;
}

/* What the file says is not meant for that one any more: somebody says so of the next. */
static int tell_ended(struct disk *disk, const struct session_request *request)
{
	struct disk_record after;
	bool is = false;
	int r;

	LOCKED (&disk->disks->lock)
		is = is_unread_locked(disk, request);
	if (!is || disk_claim(disk) < 0)
		return 0;
	after = disk->record;
	record_clear_unread(&after, request->uuid);
	r = disk_save(disk, &after);
	disk_unclaim(disk);
	return r;
}

static int tell_all_ended(struct disks *disks, const struct session_request *request, struct sentence *error)
{
	int first_error = 0;

	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk)) {
		int r = tell_ended(disk, request);

		if (r < 0 && first_error == 0)
			first_error = report(
				error, r, "disk '%s': that the domain's next session is meant cannot be recorded: %s",
				disk->name, error_text(r));
	}
	return first_error;
}

/*
 * Where a session has ended right before, and a crash of the host brought its record back, the flag
 * would be taken for meant for that one. So that it is gone is synced before the answer.
 */
static void sync_ends(struct disks *disks)
{
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk))
		session_sync(disk);
}

int session_arm(struct disks *disks, const struct session_request *request, struct session_result *ret_result,
		struct sentence *error)
{
	int first_error;

	ret_result->list = calloc(request->count + 1, sizeof(*ret_result->list));
	if (!ret_result->list)
		return report(error, -ENOMEM, "out of memory");
	sync_ends(disks);
	first_error = tell_all_ended(disks, request, error);
	for (size_t i = 0; i < request->count; i++) {
		struct disk *disk = find_target(disks, request->uuid, request->items[i].target);
		struct sentence why;
		int r = disk ? arm_target(disk, &request->items[i], request, ret_result, &why) : 0;

		disk_put(disk);
		if (r < 0 && first_error == 0)
			first_error = report(error, r, "%s", why.text);
	}
	return first_error;
}

/* ---- by an edit of the file */

/* A copy of the session; false where its file is not looked at, or a verb has the disk now. */
static bool look_at_session(struct disk *disk, struct session_record *copy)
{
	bool looked = false;

	LOCKED (&disk->disks->lock) {
		looked = disk->session && disk->session->is_watched && !disk->claimed;
		if (looked)
			*copy = *disk->session;
	}
	copy->source = NULL;
	return looked;
}

/* Once for each version, though the sync may have failed. */
static void forget_version(struct disk *disk, const struct note *note)
{
	LOCKED (&disk->disks->lock)
		if (is_session_of_locked(disk, note->uuid))
			snprintf(disk->session->config, sizeof(disk->session->config), "%s", note->version);
}

static void watch(struct disk *disk)
{
	struct session_record session = { 0 };
	char version[DOMAIN_FILE_VERSION_SIZE];
	const struct note note = { .uuid = session.uuid, .version = version, .fate = FATE_EDITED };
	bool kept;
	int r;

	session_sync(disk);
	if (!look_at_session(disk, &session) || domain_file_look(session.domain, version) < 0 ||
	    domain_file_is_same(version, session.config))
		return;
	r = keep_session(disk, &note, &kept);
	if (r < 0) {
		log_warning(
			"disk '%s': the file of domain '%s' was edited, but what it has written cannot be synced: %s; a crash of the host may lose that",
			disk->name, session.domain, error_text(r));
		forget_version(disk, &note);
	} else if (kept) {
		log_info(
			"disk '%s': the file of domain '%s' was edited while it runs: what it writes survives a crash of the host, where the file says that it is to be committed",
			disk->name, session.domain);
	}
}

void sessions_watch(struct disks *disks)
{
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk))
		watch(disk);
}
