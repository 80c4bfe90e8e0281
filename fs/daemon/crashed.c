/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A crash of the host ends sessions for which no release comes. Those that were armed have it in
 * disk.json, and their scratches were synced. Of the others nothing was synced, so at the first
 * start of a boot they are replaced. But the administrator may have edited the domain's file
 * right before the crash, unnoticed: where the file is another version now than the session began
 * with, or is not known here, the scratch is kept (FATE_UNSYNCED) until the next prepare, which
 * has read the file.
 *
 * What the file says now was meant for the session that crashed. So this version is used up,
 * whatever it says: the next session is not committed by it, which nobody asked for. Whoever
 * wants that writes the file once more.
 *
 *   1. qemu-img looks at a scratch that was not synced   it may be torn. prepare starts no process
 *   2. write disk.json
 *   3. remove session.json, sync the directory           after another crash it must not be decided
 *                                                        again: the file may be edited by then
 */
#include "crashed.h"

#include <stdio.h>

#include "domain_file.h"
#include "io.h"
#include "kept.h"
#include "log.h"
#include "participant.h"
#include "qemu_img.h"
#include "scratch.h"
#include "session.h"
#include "table.h"

/* Whether the scratch would be discarded, and the domain's file may say otherwise. */
static bool may_be_armed(const struct disk *disk, const struct session_record *session, const char *version)
{
	return disk->record.fate == FATE_DISCARD && scratch_is_dirty(disk->scratch) &&
	       !domain_file_is_same(version, session->config);
}

static void keep_unsynced(struct disk *disk, const struct session_record *session, struct disk_record *after)
{
	struct sentence why = { "" };

	after->fate = FATE_UNSYNCED;
	after->contents = scratch_contents(disk);
	snprintf(after->fate_uuid, sizeof(after->fate_uuid), "%s", session->uuid);
	after->fate_torn = qemu_img_check(disk->disks->options, disk->scratch->fd, &why) < 0;
	log_warning(
		"disk '%s': the host crashed while domain '%s' ran, whose file may have been edited meanwhile: what it had written, %llu bytes%s%s, waits for its next start, which sees whether that is to be kept",
		disk->name, session->domain, (unsigned long long)scratch_allocated(disk->scratch),
		after->fate_torn ? " in which qemu-img finds errors: " : "", after->fate_torn ? why.text : "");
}

/* Of what was synced and is kept; keep_unsynced() has told of the other. */
static void say_kept(const struct disk *disk, const struct session_record *session)
{
	struct sentence next;

	if (disk->record.fate == FATE_DISCARD || disk->record.fate == FATE_UNSYNCED || !scratch_is_dirty(disk->scratch))
		return;
	kept_say_next(disk->name, &disk->record, &next);
	log_warning("disk '%s': the host crashed while domain '%s' ran: what it had written, %llu bytes, %s",
		    disk->name, session->domain, (unsigned long long)scratch_allocated(disk->scratch), next.text);
}

/*
 * The version of the domain's file that was there when the host crashed; "" where that is not
 * known.
 */
static void find_version(const struct session_record *session, char version[DOMAIN_FILE_VERSION_SIZE])
{
	if (!session->is_watched || domain_file_look(session->domain, version) < 0)
		version[0] = '\0';
}

/* Most sessions end like this: nothing was armed, and a sync is spared. */
static bool was_never_armed(const struct disk *disk, const struct session_record *session, const char *version)
{
	return disk->record.fate == FATE_DISCARD && !session->armed && domain_file_is_same(version, session->config);
}

static struct disk_record record_after(struct disk *disk, const struct session_record *session, bool has_scratch)
{
	struct disk_record after = disk->record;
	char version[DOMAIN_FILE_VERSION_SIZE];

	find_version(session, version);
	if (was_never_armed(disk, session, version))
		return after;
	if (after.fate == FATE_ARMED)
		after.commit_at_release = false;
	if (has_scratch && may_be_armed(disk, session, version)) {
		keep_unsynced(disk, session, &after);
		after.consumed[0] = '\0'; /* unless it is known: */
	}
	if (version[0] && !domain_file_is_same(version, after.consumed))
		snprintf(after.consumed, sizeof(after.consumed), "%s", version);
	else if (!version[0] && session->config[0] && after.fate != FATE_UNSYNCED)
		snprintf(after.consumed, sizeof(after.consumed), "%s", session->config);
	return after;
}

void crashed_decide(struct disk *disk, const struct session_record *session, bool has_scratch)
{
	struct disk_record after;
	int r = 0;

	if (!session->uuid[0])
		return;
	after = record_after(disk, session, has_scratch);
	if (records_differ(&after, &disk->record))
		r = disk_save(disk, &after);
	if (r == 0)
		r = io_unlink(disk->directory, SESSION_RECORD);
	if (r == 0)
		r = io_sync_directory(disk->directory);
	if (r < 0)
		log_error(
			"disk '%s': what the host's crash has left of a session of domain '%s' cannot be recorded: %s",
			disk->name, session->domain, error_text(r));
	if (has_scratch)
		say_kept(disk, session);
	log_debug("disk", "start: '%s': the session of domain '%s' was ended by a crash of the host", disk->name,
		  session->domain);
}

void crashed_say_discarded(const struct disk *disk, const struct session_record *session)
{
	log_warning("disk '%s': what %s%s%s had written when the host crashed is thrown away: %llu bytes", disk->name,
		    session->domain[0] ? "domain '" : "its last session", session->domain,
		    session->domain[0] ? "'" : "", (unsigned long long)scratch_allocated(disk->scratch));
}
