/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fs/session/ begins and ends sessions. When is a session over for which no release comes, so that
 * any verb may decide about what was written? When all its writers have closed the disk, or none
 * came in time; at once, when it is of an earlier boot, or its mount ended with its daemon.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain_file.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "state_directory.h"
#include "table.h"

#define FIRST_WRITER_MS 60000 /* a domain whose QEMU has not opened the disk by then has failed to start */
#define WRITERS_GONE_MS 10000 /* libvirt's labelling opens and closes a disk before QEMU opens it */
#define ANNOUNCEMENT_MS 60000 /* an announced restore may fail before it reaches prepare */

/* --- sessions --------------------------------------------------------------------------------- */

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
	return !disk->session || disk->session->armed || disk->session_may_be_armed || disk->hold ||
	       disk->record.strict || disk->record.fate != FATE_DISCARD || disk->record.commit_at_release;
}

static void session_go_on_locked(struct disk *disk)
{
	if (!disk->session || strcmp(disk->session->boot, disk->disks->boot) != 0 ||
	    disk->session->mount != handover_mount(disk->disks->handover)->id)
		return;
	disk->session_adopted = true;
	disk->session_had_writer = false;
	disk->session_since = monotonic_ms();
}

void disks_go_on(struct disks *disks)
{
	LOCKED (&disks->lock)
		for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
			session_go_on_locked(disk);
}

void disks_forget_old_labels(struct disks *disks)
{
	LOCKED (&disks->lock)
		for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
			if (disk->head && !session_is_active_locked(disk))
				layer_forget_labels_locked(disk);
}

int session_save(struct disk *disk)
{
	return record_sync_session(&disk->disks->state_guard, disk->directory, SESSION_RECORD, disk->session);
}

int session_sync(struct disk *disk)
{
	CLEANUP(close_fdp) int fd = -1;
	bool unsynced = false;
	int r;

	LOCKED (&disk->disks->lock) {
		unsynced = disk->session_unsynced;
		disk->session_unsynced = false;
	}
	if (!unsynced)
		return 0;
	fd = io_open_file(disk->directory, SESSION_RECORD, O_RDONLY);
	r = fd == -ENOENT ? 0 : fd < 0 ? fd : io_sync(fd);
	return r == 0 ? io_sync_directory(disk->directory) : r;
}

bool session_may_have_run(const struct disk *disk)
{
	bool may_have_run = false;

	LOCKED (&disk->disks->lock)
		may_have_run = disk->session && (!disk->session_adopted || disk->session_had_writer);
	return may_have_run;
}

/*
 * The version of the domain's file that an ended session uses up, of which no release came: the
 * present one, or the last that is known.
 */
static void used_up_version(const struct session_record *session, char version[TOKEN_SIZE])
{
	if (!session->is_watched || domain_file_look(session->domain, version) < 0)
		snprintf(version, TOKEN_SIZE, "%s", session->config);
}

/* Not of a disk that has just been given up. */
static bool has_record(const struct disk *disk)
{
	return faccessat(disk->directory, DISK_RECORD, F_OK, 0) == 0;
}

static void use_up_flag(struct disk *disk)
{
	struct disk_record after = disk->record;
	char version[TOKEN_SIZE];
	int r;

	if (!session_may_have_run(disk) || !has_record(disk))
		return;
	used_up_version(disk->session, version);
	if (!version[0] || domain_file_is_same(version, after.consumed))
		return;
	snprintf(after.consumed, sizeof(after.consumed), "%s", version);
	r = disk_save(disk, &after);
	if (r < 0)
		log_error(
			"disk '%s': that one-shot-commit of domain '%s' was for the session that has ended cannot be recorded: %s; its next session may be committed",
			disk->name, disk->session->domain, error_text(r));
}

void session_end(struct disk *disk)
{
	/* First: what a kill leaves of the session's record says the same. */
	use_up_flag(disk);
	session_forget(disk);
}

void session_forget(struct disk *disk)
{
	struct session_record *session = NULL;

	LOCKED (&disk->disks->lock) {
		session = steal_pointer(&disk->session);
		disk->session_may_be_armed = false;
		disk->session_unsynced = true;
		layer_forget_labels_locked(disk);
		pthread_cond_broadcast(&disk->disks->changed);
	}
	if (session) {
		log_debug("disk", "'%s': the session of domain '%s' has ended", disk->name, session->domain);
		record_clear_session(session);
		free(session);
	}
	/*
	 * Synced soon (session_sync()): what a host crash brings back meanwhile is of an earlier
	 * boot, so it is over.
	 */
	if (state_check(disk->disks, NULL) == 0)
		io_unlink(disk->directory, SESSION_RECORD);
}

/* --- announcements: kept in the handover, for the daemon may restart before the prepare ------- */

struct announced {
	struct handover *handover;
	const char *uuid;
	struct handover_announcement *found;
};

static void find_announcement(void *context, void *slot)
{
	struct announced *search = context;
	struct handover_announcement *announcement = slot;

	if (monotonic_ms() - announcement->when > ANNOUNCEMENT_MS)
		handover_give(search->handover, HANDOVER_ANNOUNCEMENT, announcement);
	else if (strncmp(announcement->uuid, search->uuid, sizeof(announcement->uuid)) == 0)
		search->found = announcement;
}

static struct handover_announcement *find_announcement_locked(struct disks *disks, const char *uuid)
{
	struct announced search = { .handover = disks->handover, .uuid = uuid };

	handover_visit(disks->handover, HANDOVER_ANNOUNCEMENT, find_announcement, &search);
	return search.found;
}

static void forget_announcement_locked(struct disks *disks, const char *uuid)
{
	handover_give(disks->handover, HANDOVER_ANNOUNCEMENT, find_announcement_locked(disks, uuid));
}

void session_forget_announcement(struct disks *disks, const char *uuid)
{
	LOCKED (&disks->lock)
		forget_announcement_locked(disks, uuid);
}

bool session_is_announced(struct disks *disks, const char *uuid)
{
	bool announced = false;

	LOCKED (&disks->lock)
		announced = find_announcement_locked(disks, uuid) != NULL;
	return announced;
}

int session_announce(struct disks *disks, const char *uuid)
{
	struct handover_announcement *announcement = NULL;

	LOCKED (&disks->lock) {
		forget_announcement_locked(disks, uuid);
		announcement = handover_take(disks->handover, HANDOVER_ANNOUNCEMENT);
		if (announcement) {
			snprintf(announcement->uuid, sizeof(announcement->uuid), "%s", uuid);
			handover_publish(&announcement->when, monotonic_ms());
		}
	}
	return announcement ? 0 : -ENOMEM;
}
