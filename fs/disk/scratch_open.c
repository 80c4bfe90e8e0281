/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the mount asks of scratches: they are opened, counted, written and synced. Who opens one
 * waits for the verb that has its disk, and for a fold of what it stands on. The declarations are
 * in disk.h.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "claim.h"
#include "file.h"
#include "io.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "session.h"
#include "table.h"

struct scratch *disk_scratch(struct disk *disk)
{
	struct scratch *scratch;

	pthread_mutex_lock(&disk->disks->lock);
	scratch = disk->scratch;
	if (scratch)
		scratch->refs++;
	pthread_mutex_unlock(&disk->disks->lock);
	return scratch;
}

int disk_served(struct disk *disk, struct scratch **ret_scratch)
{
	int r = 0;

	LOCKED (&disk->disks->lock) {
		if (disk->scratch)
			(*ret_scratch = disk->scratch)->refs++;
		else
			r = disk->failure.text[0] && !disk->removed ? -EIO : -ENOENT;
	}
	return r;
}

uint64_t scratch_serial(const struct scratch *scratch)
{
	return scratch->serial;
}

struct disk *scratch_disk(const struct scratch *scratch)
{
	return scratch->disk;
}

int scratch_fd(struct scratch *scratch)
{
	return scratch->fd;
}

/* Whether the next prepare may discard it. */
static bool becomes_unhooked(const struct disk_record *record)
{
	return record->fate == FATE_DISCARD || record->fate == FATE_UNSYNCED || record->fate == FATE_EDITED;
}

/*
 * A scratch that is written without a session must not be discarded, for no session says that it
 * may be; nor is it what a guest left that was shut down. The record says so before the first
 * write.
 */
static int record_unhooked(struct disk *disk)
{
	struct disk_record record = disk->record;

	if (becomes_unhooked(&record)) {
		record.fate = FATE_UNHOOKED;
		record.contents = scratch_contents(disk);
		record.fate_since = time(NULL);
	}
	record.fate_clean = false;
	return disk_save(disk, &record);
}

static bool wants_unhooked_locked(const struct disk *disk, bool writer)
{
	return writer && !disk->session && (becomes_unhooked(&disk->record) || disk->record.fate_clean);
}

/* Wait until the scratch may be opened. 0 with the lock held and the disk idle. */
static int wait_for_chain_locked(struct scratch *scratch, bool onlooker)
{
	struct disk *disk = scratch->disk;

	for (;;) {
		bool fold_runs;

		if (disk->removed || disk->scratch != scratch)
			return -ESTALE;
		if (disk->state == DISK_FAILED)
			return -EIO;
		fold_runs = fold_owns_chain_locked(scratch->layer);
		if (!disk->claimed && !fold_runs)
			return 0;
		if (fold_runs && onlooker && !folds_yield_to_onlooker_locked(scratch->layer))
			return -ESTALE;
		if (fold_runs && !onlooker)
			fold_ask_to_stop_locked(scratch->layer);
		disk->waiting++;
		pthread_cond_wait(&disk->disks->changed, &disk->disks->lock);
		disk->waiting--;
	}
}

int scratch_open(struct scratch *scratch, bool writer)
{
	struct disk *disk = scratch->disk;
	struct disks *disks = disk->disks;
	int r;

	pthread_mutex_lock(&disks->lock);
	r = wait_for_chain_locked(scratch, false);
	if (r == 0 && wants_unhooked_locked(disk, writer)) {
		disk->claimed = true;
		pthread_mutex_unlock(&disks->lock);
		r = record_unhooked(disk);
		if (r < 0)
			log_error(
				"disk '%s': it cannot be noted that it is written without a session, so it is not opened: %s",
				disk->name, error_text(r));
		pthread_mutex_lock(&disks->lock);
		disk_unclaim_locked(disk);
	}
	if (r == 0) {
		if (writer)
			scratch->writers++;
		else
			scratch->readers++;
		if (writer) {
			disk->session_had_writer = true;
			disk->wants_next = true;
			pthread_cond_broadcast(&disks->changed);
		}
	}
	pthread_mutex_unlock(&disks->lock);
	return r;
}

void scratch_close(struct scratch *scratch, bool writer)
{
	struct disk *disk = scratch->disk;

	pthread_mutex_lock(&disk->disks->lock);
	if (writer) {
		scratch->writers--;
		atomic_store(&scratch->unwritten, true);
	} else {
		scratch->readers--;
	}
	if (writer && scratch->writers == 0)
		disk->writers_gone = monotonic_ms();
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
}

int scratch_look_on(struct scratch *scratch, struct onlooker *ret_onlooker)
{
	struct disks *disks = scratch->disk->disks;
	int r = 0;

	LOCKED (&disks->lock) {
		r = wait_for_chain_locked(scratch, true);
		if (r == 0)
			r = onlookers_enter_locked(disks, &scratch->onlookers, ret_onlooker);
		if (r == 0)
			ret_onlooker->seen = text_hash(scratch->layer->record.id);
	}
	return r;
}

void scratch_look_away(struct scratch *scratch, const struct onlooker *onlooker)
{
	LOCKED (&scratch->disk->disks->lock)
		onlookers_leave_locked(onlooker);
}

static bool is_file(int fd, const struct handover_node *noted)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_dev == noted->device && st.st_ino == noted->inode;
}

/*
 * A scratch that a reset replaced while it was open. Its struct needs some layer: it gets the
 * disk's head, and nothing reads that.
 */
static struct scratch *revive(struct disk *disk, uint64_t serial, int fd)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	if (!scratch)
		return NULL;
	scratch->fd = fd;
	scratch->refs = 1;
	scratch->serial = serial;
	pthread_mutex_lock(&disk->disks->lock);
	scratch->layer = layer_get_locked(disk->head);
	scratch->disk = disk;
	disk->refs++;
	pthread_mutex_unlock(&disk->disks->lock);
	return scratch;
}

/* By its file handle, so also where the file has become a layer's or has no name. */
static int open_again(const struct disk *disk, const struct handover_node *noted)
{
	CLEANUP(close_fdp) int pinned = handover_file_open(&noted->file, disk->scratch_directory);

	return pinned < 0 ? pinned : file_open(pinned, O_RDWR);
}

struct scratch *scratch_find(struct disk *disk, const struct handover_node *noted, int stored)
{
	struct scratch *scratch = disk_scratch(disk);
	CLEANUP(close_fdp) int fd = -1;

	if (scratch && is_file(scratch->fd, noted)) {
		pthread_mutex_lock(&disk->disks->lock);
		scratch->serial = noted->serial;
		pthread_mutex_unlock(&disk->disks->lock);
		return scratch;
	}
	scratch_put(scratch);
	fd = stored >= 0 ? fcntl(stored, F_DUPFD_CLOEXEC, 0) : open_again(disk, noted);
	if (fd < 0 || !is_file(fd, noted) || !disk->head)
		return NULL;
	scratch = revive(disk, noted->serial, fd);
	if (!scratch)
		return NULL;
	steal_fd(&fd);
	scratch->stored = stored >= 0;
	return scratch;
}

/*
 * `unwritten` is set, for no write-back was started by this daemon for what an earlier one wrote.
 */
void scratch_reopen(struct scratch *scratch, bool writer)
{
	struct disk *disk = scratch->disk;

	pthread_mutex_lock(&disk->disks->lock);
	if (writer) {
		scratch->writers++;
		disk->session_had_writer = disk->scratch == scratch;
		atomic_store(&scratch->unwritten, true);
	} else {
		scratch->readers++;
	}
	pthread_mutex_unlock(&disk->disks->lock);
}

void scratch_look_on_again(struct scratch *scratch, struct onlooker *ret_onlooker)
{
	struct disks *disks = scratch->disk->disks;

	LOCKED (&disks->lock) {
		onlookers_restore_locked(disks, &scratch->onlookers, ret_onlooker);
		if (scratch == scratch->disk->scratch)
			ret_onlooker->seen = text_hash(scratch->layer->record.id);
	}
}

void scratch_note_passthrough(struct scratch *scratch, bool passed)
{
	atomic_store(&scratch->passed, passed);
}

int scratch_mark_written(struct scratch *scratch)
{
	atomic_store_explicit(&scratch->unwritten, true, memory_order_relaxed);
	if (!atomic_exchange(&scratch->touched, true))
		scratch_is_dirty(scratch);
	return 0;
}

int scratch_sync(struct scratch *scratch)
{
	struct disk *disk = scratch->disk;
	bool strict = false;

	LOCKED (&disk->disks->lock)
		strict = session_is_strict_locked(disk) || disk->scratch != scratch;
	return strict ? io_sync(scratch->fd) : 0;
}

/*
 * A strict scratch that has data to write back, which is no longer marked so: a reference, or NULL.
 */
static struct scratch *next_unwritten(struct disks *disks)
{
	struct scratch *found = NULL;
	struct disk *disk;

	pthread_mutex_lock(&disks->lock);
	for (disk = disks->first; disk && !found; disk = disk->next_disk)
		if (disk->scratch && session_is_strict_locked(disk) &&
		    atomic_exchange(&disk->scratch->unwritten, false))
			found = disk->scratch;
	if (found)
		found->refs++;
	pthread_mutex_unlock(&disks->lock);
	return found;
}

/*
 * The daemon does not see what the kernel writes under passthrough: such a scratch may have new
 * data as long as it has writers.
 */
static void suspect_passed(struct disks *disks)
{
	pthread_mutex_lock(&disks->lock);
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (disk->scratch && disk->scratch->writers && atomic_load(&disk->scratch->passed))
			atomic_store(&disk->scratch->unwritten, true);
	pthread_mutex_unlock(&disks->lock);
}

void scratch_write_back(struct disks *disks)
{
	struct scratch *scratch;

	suspect_passed(disks);
	while ((scratch = next_unwritten(disks))) {
		log_debug("job", "'%s': write-back is started", scratch->disk->name);
		io_start_write_back(scratch->fd);
		scratch_put(scratch);
	}
}
