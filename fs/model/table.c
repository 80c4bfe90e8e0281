/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of disks, and the rules that every verb relies on.
 *
 *              first write             seal (commit, snapshot, hold, aside)
 *   PRISTINE ----------------> DIRTY --------------------+
 *      ^  ^        reset         |                       |
 *      |  +----------------------+                       v
 *      +------------------------------------- a fresh scratch on the new layer or head
 *
 *   any --> FAILED   no scratch can be served: the image or a layer's file is gone, the record
 *                    cannot be read, or a write failed and what is on the medium is unknown. A
 *                    reset or prepare that succeeds leads back to PRISTINE.
 *
 * The table (a search tree and a sorted list) holds one reference of each disk; finding a disk
 * takes another.
 */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "beneath.h"
#include "claim.h"
#include "command.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "session.h"

#define SCRATCH_NAME "scratch.qcow2"

/* allowed[from][to] */
static const bool allowed[3][3] = {
	[DISK_PRISTINE] = { true, true, true },
	[DISK_DIRTY] = { true, true, true },
	[DISK_FAILED] = { true, false, true },
};

/* --- names ------------------------------------------------------------------------------------ */

/*
 * '%', '/' and a leading '.' become %XX, so that a name of several components becomes one, and the
 * result is never hidden or ".".
 */
char *disk_directory_name(const char *name)
{
	char *escaped = malloc(3 * strlen(name) + 1), *p = escaped;

	if (!escaped)
		return NULL;
	for (const char *c = name; *c; c++) {
		if (*c == '%' || *c == '/' || (*c == '.' && c == name))
			p += sprintf(p, "%%%02X", (unsigned)(unsigned char)*c);
		else
			*p++ = *c;
	}
	*p = '\0';
	return escaped;
}

int disk_name_of_directory(const char *directory, char **ret_name)
{
	CLEANUP(freep) char *name = strdup(directory), *again = NULL;
	char *p = name;

	if (!name)
		return -ENOMEM;
	for (const char *c = directory; *c; c++) {
		unsigned byte;

		if (*c != '%') {
			*p++ = *c;
		} else {
			if (sscanf(c + 1, "%2X", &byte) != 1)
				return -EINVAL;
			*p++ = (char)byte;
			c += 2;
		}
	}
	*p = '\0';
	/*
	 * Only the spelling that disk_directory_name() writes counts: another spelling of the same
	 * name would be a second record of one disk.
	 */
	again = disk_directory_name(name);
	if (!again || strcmp(again, directory) != 0 || check_relative_name(name) < 0)
		return -EINVAL;
	*ret_name = steal_pointer(&name);
	return 0;
}

const char *disk_name(const struct disk *disk)
{
	return disk->name;
}

struct name_claims *disks_names(struct disks *disks)
{
	return &disks->names;
}

/* --- life ------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct disk *)a)->name, ((const struct disk *)b)->name);
}

static int prepare_directory(struct disk *disk, struct sentence *error)
{
	struct disks *disks = disk->disks;
	CLEANUP(freep) char *directory = disk_directory_name(disk->name);

	if (!directory)
		return report(error, -ENOMEM, "out of memory");
	disk->directory = io_directory(disks->disks_fd, directory);
	if (disk->directory < 0)
		return report(error, disk->directory,
			      "disk '%s': its directory in the state directory cannot be made: %s", disk->name,
			      error_text(disk->directory));
	disk->scratch_directory = disks->scratch_fd >= 0 ? disks->scratch_fd : disk->directory;
	disk->scratch_name = disks->scratch_fd >= 0 ? format_text("%s.qcow2", directory) : strdup(SCRATCH_NAME);
	disk->job.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!disk->scratch_name || disk->job.stop_fd < 0)
		return report(error, -ENOMEM, "out of memory");
	return 0;
}

struct disk *disk_new(struct disks *disks, const char *name, int *ret_error, struct sentence *error)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int r;

	*ret_error = report(error, -ENOMEM, "out of memory");
	if (!disk)
		return NULL;
	disk->disks = disks;
	disk->refs = 1;
	disk->directory = disk->job.stop_fd = -1;
	disk->claimed = true;
	disk->state = DISK_FAILED;
	disk->name = strdup(name);
	r = disk->name ? prepare_directory(disk, error) : -ENOMEM;
	if (r < 0) {
		*ret_error = r;
		disk_free(disk);
		return NULL;
	}
	log_debug("disk", "'%s': new, claimed", disk->name);
	return disk;
}

int disk_check_new_name(const char *name, struct sentence *error)
{
	int r = check_relative_name(name);

	if (r == 0 && path_is_beneath(name, ".revertfs"))
		r = -EINVAL;
	return r < 0 ? report(error, r, "'%s' cannot be a disk's name", name) : 0;
}

/* The layer that was made ahead is not yet part of the tree. */
static void drop_next(struct disk *disk)
{
	struct layer *next = NULL;

	LOCKED (&disk->disks->lock)
		next = steal_pointer(&disk->next);
	if (next)
		layer_forget_blank(next);
	layer_put(next);
}

void disk_remove_files(struct disk *disk)
{
	struct disks *disks = disk->disks;
	CLEANUP(freep) char *directory = disk_directory_name(disk->name);

	drop_next(disk);
	io_unlink(disk->directory, DISK_RECORD);
	io_unlink(disk->directory, SESSION_RECORD);
	io_unlink(disk->scratch_directory, disk->scratch_name);
	if (directory)
		io_remove_directory(disks->disks_fd, directory);
}

static int insert_locked(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct disk **place = &disks->first;

	for (const struct disk *other = disks->first; other; other = other->next_disk)
		if (path_is_beneath(other->name, disk->name) || path_is_beneath(disk->name, other->name))
			return -EEXIST;
	if (!tsearch(disk, &disks->by_name, compare_names))
		return -ENOMEM;
	while (*place && strcmp((*place)->name, disk->name) < 0)
		place = &(*place)->next_disk;
	disk->next_disk = *place;
	*place = disk;
	disk->refs++;
	return 0;
}

int disk_insert(struct disk *disk)
{
	int r = 0;

	LOCKED (&disk->disks->lock)
		r = insert_locked(disk);
	if (r == 0)
		log_debug("disk", "'%s': in the table", disk->name);
	return r;
}

void disk_remove_locked(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct disk **place = &disks->first;

	while (*place && *place != disk)
		place = &(*place)->next_disk;
	if (*place) {
		*place = disk->next_disk;
		tdelete(disk, &disks->by_name, compare_names);
		disk->refs--;
	}
	disk->removed = true;
	disk->state = DISK_FAILED;
	scratch_put_locked(steal_pointer(&disk->scratch));
	pthread_cond_broadcast(&disks->changed);
}

void disk_remove(struct disk *disk)
{
	log_debug("disk", "'%s': out of the table", disk->name);
	LOCKED (&disk->disks->lock)
		disk_remove_locked(disk);
}

struct disk *disks_find(struct disks *disks, const char *name)
{
	/* tfind() wants the type that the tree holds; compare_names() looks at the name alone. */
	const struct disk key = { .name = (char *)name };
	struct disk **found;
	struct disk *disk = NULL;

	LOCKED (&disks->lock) {
		found = tfind(&key, &disks->by_name, compare_names);
		if (found) {
			disk = *found;
			disk->refs++;
		}
	}
	return disk;
}

bool disks_any_beneath(struct disks *disks, const char *directory)
{
	bool any = false;

	LOCKED (&disks->lock)
		for (const struct disk *disk = disks->first; disk && !any; disk = disk->next_disk)
			any = !directory[0] || path_is_beneath(disk->name, directory);
	return any;
}

static struct disk *behind_locked(const struct disks *disks, const struct disk *disk)
{
	struct disk *behind = disks->first;

	if (disk && !disk->removed)
		return disk->next_disk;
	while (disk && behind && strcmp(behind->name, disk->name) <= 0)
		behind = behind->next_disk;
	return behind;
}

struct disk *disks_step(struct disks *disks, struct disk *disk)
{
	struct disk *behind = NULL;

	LOCKED (&disks->lock) {
		behind = behind_locked(disks, disk);
		if (behind)
			behind->refs++;
		if (disk)
			disk_put_locked(disk);
	}
	return behind;
}

void disks_visit_names(struct disks *disks, const char *directory,
		       bool (*visit)(void *context, const char *component, bool is_directory), void *context)
{
	size_t length = strlen(directory);
	struct disk *disk = disks_step(disks, NULL);
	bool more = true;

	while (disk && more) {
		if (length == 0 || (path_is_beneath(disk->name, directory) && disk->name[length] == '/')) {
			const char *rest = disk->name + (length ? length + 1 : 0);
			CLEANUP(freep) char *component = strndup(rest, strcspn(rest, "/"));

			more = component && visit(context, component, strchr(rest, '/') != NULL);
		}
		disk = disks_step(disks, disk);
	}
	disk_put(disk);
}

/* --- claims ----------------------------------------------------------------------------------- */

int disk_report_missing(struct disks *disks, const char *name, struct sentence *error)
{
	CLEANUP(close_fdp) int image = io_open_beneath(disks->images_fd, name, O_PATH);
	struct stat stat;

	if (image >= 0 && fstat(image, &stat) == 0 && S_ISREG(stat.st_mode))
		return report(error, -ENOENT, "there is no disk '%s'; protect it first", name);
	return report(error, -ENOENT, "there is no disk '%s'; 'revertctl status' lists them", name);
}

int disk_claim_name(struct disks *disks, const char *name, struct disk **ret_disk, struct sentence *error)
{
	struct disk *disk = disks_find(disks, name);

	if (!disk || disk_claim(disk) < 0) {
		disk_put(disk);
		return disk_report_missing(disks, name, error);
	}
	if (!disk->head) {
		*error = disk->failure;
		disk_release_claim(disk);
		return -EIO;
	}
	*ret_disk = disk;
	return 0;
}

int disk_check_idle(struct disk *disk, struct sentence *error)
{
	int r = disk_wait_for_writers(disk, error);

	if (r < 0)
		return r;
	LOCKED (&disk->disks->lock)
		if (session_is_active_locked(disk))
			r = report(error, -EBUSY, "disk '%s' is in a session of domain '%s'; stop that first",
				   disk->name, disk->session->domain);
	return r;
}

int disk_check_not_held(const struct disk *disk, struct sentence *error)
{
	struct sentence quoted;

	if (!disk->hold)
		return 0;
	return report(
		error, -EBUSY,
		"disk '%s' is held for the saved domain '%s'; restore that, or give its saved state up with 'reset %s force=yes'",
		disk->name, disk->record.hold_domain, quote_name(disk->name, &quoted));
}

/* --- state and record ------------------------------------------------------------------------- */

static void disk_check_locked(const struct disk *disk)
{
	assert(disk->state == DISK_FAILED || disk->scratch);
	assert(disk->state == DISK_FAILED || (disk->root && disk->head));
	assert(!disk->hold || disk->record.hold[0]);
}

void disk_set_state_locked(struct disk *disk, enum disk_state state)
{
	assert(allowed[disk->state][state]);
	disk->state = state;
	disk_check_locked(disk);
}

void disk_fail(struct disk *disk, const struct sentence *why)
{
	log_error("%s", why->text);
	log_debug("disk", "'%s': failed", disk->name);
	LOCKED (&disk->disks->lock) {
		disk->failure = *why;
		disk->last_error = *why;
		disk_set_state_locked(disk, DISK_FAILED);
		pthread_cond_broadcast(&disk->disks->changed);
	}
}

bool disk_has_failed(struct disk *disk, struct sentence *ret_why)
{
	bool failed = false;

	LOCKED (&disk->disks->lock) {
		failed = disk->state == DISK_FAILED;
		if (ret_why)
			*ret_why = disk->failure;
	}
	return failed;
}

void disk_drop_scratch(struct disk *disk)
{
	LOCKED (&disk->disks->lock)
		scratch_put_locked(steal_pointer(&disk->scratch));
}

int disk_save(struct disk *disk, const struct disk_record *record)
{
	int r = record_save_disk(&disk->disks->state_guard, disk->directory, DISK_RECORD, record);

	if (r < 0)
		return r;
	LOCKED (&disk->disks->lock)
		disk->record = *record;
	return 0;
}

void disk_set_head(struct disk *disk, struct layer *head)
{
	LOCKED (&disk->disks->lock) {
		struct layer *old = disk->head;

		disk->head = layer_get_locked(head);
		layer_put_locked(old);
	}
	log_debug("disk", "'%s': its head is layer %s", disk->name, head->record.id);
}

void disk_set_hold(struct disk *disk, struct layer *hold)
{
	struct layer *old = NULL;

	LOCKED (&disk->disks->lock) {
		old = disk->hold;
		disk->hold = hold ? layer_get_locked(hold) : NULL;
		layer_put_locked(old);
	}
	if (hold)
		log_debug("disk", "'%s': held, on layer %s", disk->name, hold->record.id);
	else if (old)
		log_debug("disk", "'%s': held no longer", disk->name);
}

struct layer *disk_take_hold(struct disk *disk)
{
	struct layer *hold = NULL;

	LOCKED (&disk->disks->lock)
		hold = steal_pointer(&disk->hold);
	if (hold)
		log_debug("disk", "'%s': held no longer", disk->name);
	return hold;
}

void disk_set_last_error(struct disk *disk, const struct sentence *error)
{
	/*
	 * A command may have done what was asked and still leave a disk that cannot be served: the
	 * status goes on to say why.
	 */
	LOCKED (&disk->disks->lock)
		disk->last_error = !error->text[0] && disk->state == DISK_FAILED ? disk->failure : *error;
}

/* --- snapshots -------------------------------------------------------------------------------- */

static bool has_snapshot(const struct disk *disk, const char *snapshot)
{
	bool has = false;

	LOCKED (&disk->disks->lock)
		has = disk_find_snapshot_locked(disk, snapshot) != NULL;
	return has;
}

int disk_check_new_snapshot(struct disk *disk, const char *snapshot, struct sentence *error)
{
	if (!snapshot_name_is_valid(snapshot))
		return report(error, -EINVAL, "'%s' cannot be a snapshot's name: up to %d bytes, no '/'", snapshot,
			      SNAPSHOT_NAME_MAX);
	if (has_snapshot(disk, snapshot))
		return report(error, -EEXIST, "disk '%s' has a snapshot '%s' already", disk->name, snapshot);
	return 0;
}

void disk_unused_snapshot_name(struct disk *disk, const char *prefix, char name[SNAPSHOT_NAME_MAX + 1])
{
	time_t now = time(NULL);
	struct tm broken_down;
	char when[32] = "";

	gmtime_r(&now, &broken_down);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &broken_down);
	snprintf(name, SNAPSHOT_NAME_MAX + 1, "%s-%s", prefix, when);
	for (int n = 2; has_snapshot(disk, name); n++)
		snprintf(name, SNAPSHOT_NAME_MAX + 1, "%s-%s-%d", prefix, when, n);
}

const struct disk *disk_find_clone_locked(const struct disk *origin)
{
	for (const struct disk *disk = origin->disks->first; disk; disk = disk->next_disk)
		if (disk->record.origin && strcmp(disk->record.origin, origin->name) == 0)
			return disk;
	return NULL;
}
