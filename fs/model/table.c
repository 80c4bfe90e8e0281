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
 *   any --> FAILED   no scratch can be served: image gone, record unreadable, outcome on disk
 *                    unknown. A reset or prepare
 *                    that succeeds leads back to PRISTINE.
 *
 * The table (a search tree and a sorted list) holds one reference of each disk; finding one takes
 * another.
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
#include <unistd.h>

#include "io.h"
#include "layer.h"
#include "log.h"
#include "session.h"
#include "claim.h"

#define DISK_RECORD "disk.json"
#define SCRATCH_NAME "scratch.qcow2"

static const char *const state_names[] = {
	[DISK_PRISTINE] = "pristine", [DISK_DIRTY] = "dirty", [DISK_FAILED] = "failed"
};

/* allowed[from][to] */
static const bool allowed[3][3] = {
	[DISK_PRISTINE] = { true, true, true },
	[DISK_DIRTY] = { true, true, true },
	[DISK_FAILED] = { true, false, true },
};

/* --- names ------------------------------------------------------------------------------------ */

/*
 * '%', '/' and a leading '.' become %XX, so that a name of several components is one, and none is
 * hidden or ".".
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
	 * Only what we write ourselves counts: another spelling of the same name would be a second
	 * record of one disk.
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

void disks_lock_names(struct disks *disks)
{
	pthread_rwlock_rdlock(&disks->names);
}

void disks_unlock_names(struct disks *disks)
{
	pthread_rwlock_unlock(&disks->names);
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
	struct layer *next;

	pthread_mutex_lock(&disk->disks->lock);
	next = disk->next;
	disk->next = NULL;
	pthread_mutex_unlock(&disk->disks->lock);
	if (next)
		layer_forget_blank(next);
	layer_put(next);
}

/* What protect made, taken back. The image has not been touched. */
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

int disk_insert(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct disk **place = &disks->first;
	void *node;

	pthread_mutex_lock(&disks->lock);
	for (const struct disk *other = disks->first; other; other = other->next_disk)
		if (path_is_beneath(other->name, disk->name) || path_is_beneath(disk->name, other->name)) {
			pthread_mutex_unlock(&disks->lock);
			return -EEXIST;
		}
	node = tsearch(disk, &disks->by_name, compare_names);
	if (!node) {
		pthread_mutex_unlock(&disks->lock);
		return -ENOMEM;
	}
	while (*place && strcmp((*place)->name, disk->name) < 0)
		place = &(*place)->next_disk;
	disk->next_disk = *place;
	*place = disk;
	disk->refs++;
	pthread_mutex_unlock(&disks->lock);
	return 0;
}

void disk_remove(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct disk **place = &disks->first;
	struct scratch *scratch;

	pthread_mutex_lock(&disks->lock);
	while (*place && *place != disk)
		place = &(*place)->next_disk;
	if (*place) {
		*place = disk->next_disk;
		tdelete(disk, &disks->by_name, compare_names);
		disk->refs--;
	}
	disk->removed = true;
	scratch = disk->scratch;
	disk->scratch = NULL;
	disk->state = DISK_FAILED;
	scratch_put_locked(scratch);
	pthread_cond_broadcast(&disks->changed);
	pthread_mutex_unlock(&disks->lock);
}

struct disk *disks_find(struct disks *disks, const char *name)
{
	/* tfind() wants the type that the table holds; only the name is looked at. */
	const struct disk key = { .name = (char *)name };
	struct disk **found;
	struct disk *disk = NULL;

	pthread_mutex_lock(&disks->lock);
	found = tfind(&key, &disks->by_name, compare_names);
	if (found) {
		disk = *found;
		disk->refs++;
	}
	pthread_mutex_unlock(&disks->lock);
	return disk;
}

struct disk *disks_find_inode(struct disks *disks, dev_t device, ino_t inode)
{
	struct disk *disk;

	pthread_mutex_lock(&disks->lock);
	for (disk = disks->first; disk; disk = disk->next_disk) {
		const struct layer *root = disk->root;

		if (root && !disk->record.origin && root->record.stamp.inode == inode &&
		    root->record.stamp.device == device) {
			disk->refs++;
			break;
		}
	}
	pthread_mutex_unlock(&disks->lock);
	return disk;
}

bool disks_any_beneath(struct disks *disks, const char *directory)
{
	bool any = false;

	pthread_mutex_lock(&disks->lock);
	for (const struct disk *disk = disks->first; disk && !any; disk = disk->next_disk)
		any = !directory[0] || path_is_beneath(disk->name, directory);
	pthread_mutex_unlock(&disks->lock);
	return any;
}

void disks_visit_names(struct disks *disks, const char *directory,
		       bool (*visit)(void *context, const char *component, bool is_directory), void *context)
{
	size_t length = strlen(directory);
	struct disk *disk, *after;
	bool more = true;

	pthread_mutex_lock(&disks->lock);
	disk = disks->first;
	if (disk)
		disk->refs++;
	/* The visitor is called without the lock; the reference keeps our place in the list. */
	while (disk && more) {
		pthread_mutex_unlock(&disks->lock);
		if (length == 0 || (path_is_beneath(disk->name, directory) && disk->name[length] == '/')) {
			const char *rest = disk->name + (length ? length + 1 : 0);
			CLEANUP(freep) char *component = strndup(rest, strcspn(rest, "/"));

			more = component && visit(context, component, strchr(rest, '/') != NULL);
		}
		pthread_mutex_lock(&disks->lock);
		after = disk->removed ? NULL : disk->next_disk;
		if (after)
			after->refs++;
		disk_put_locked(disk);
		disk = after;
	}
	if (disk)
		disk_put_locked(disk);
	pthread_mutex_unlock(&disks->lock);
}

/* --- claims ----------------------------------------------------------------------------------- */

int disk_claim_name(struct disks *disks, const char *name, struct disk **ret_disk, struct sentence *error)
{
	struct disk *disk = disks_find(disks, name);

	if (!disk || disk_claim(disk) < 0) {
		disk_put(disk);
		return report(error, -ENOENT, "there is no disk '%s'; protect it first", name);
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
	pthread_mutex_lock(&disk->disks->lock);
	if (session_is_active_locked(disk))
		r = report(error, -EBUSY, "disk '%s' is in a session of domain '%s'; stop that first", disk->name,
			   disk->session->domain);
	pthread_mutex_unlock(&disk->disks->lock);
	return r;
}

int disk_check_not_held(const struct disk *disk, struct sentence *error)
{
	if (!disk->hold)
		return 0;
	return report(
		error, -EBUSY,
		"disk '%s' is held for the saved domain '%s'; restore that, or give its saved state up with 'reset %s force=yes'",
		disk->name, disk->record.hold_domain, disk->name);
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
	if (disk->state != state)
		log_debug("disk", "'%s': %s -> %s", disk->name, state_names[disk->state], state_names[state]);
	disk->state = state;
	disk_check_locked(disk);
}

void disk_fail(struct disk *disk, const struct sentence *why)
{
	log_error("%s", why->text);
	pthread_mutex_lock(&disk->disks->lock);
	disk->failure = *why;
	disk->last_error = *why;
	disk_set_state_locked(disk, DISK_FAILED);
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
}

void disk_drop_scratch(struct disk *disk)
{
	struct scratch *scratch;

	pthread_mutex_lock(&disk->disks->lock);
	scratch = disk->scratch;
	disk->scratch = NULL;
	scratch_put_locked(scratch);
	pthread_mutex_unlock(&disk->disks->lock);
}

int disk_save(struct disk *disk, const struct disk_record *record)
{
	int r = record_save_disk(disk->directory, DISK_RECORD, record);

	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->disks->lock);
	disk->record = *record;
	pthread_mutex_unlock(&disk->disks->lock);
	return 0;
}

void disk_set_head(struct disk *disk, struct layer *head)
{
	struct layer *old;

	pthread_mutex_lock(&disk->disks->lock);
	old = disk->head;
	disk->head = layer_get_locked(head);
	layer_put_locked(old);
	pthread_mutex_unlock(&disk->disks->lock);
}

void disk_set_hold(struct disk *disk, struct layer *hold)
{
	struct layer *old;

	pthread_mutex_lock(&disk->disks->lock);
	old = disk->hold;
	disk->hold = hold ? layer_get_locked(hold) : NULL;
	layer_put_locked(old);
	pthread_mutex_unlock(&disk->disks->lock);
}

void disk_set_last_error(struct disk *disk, const struct sentence *error)
{
	pthread_mutex_lock(&disk->disks->lock);
	/*
	 * A command may have done what was asked and left a disk that cannot be served: that is
	 * still to be told.
	 */
	disk->last_error = !error->text[0] && disk->state == DISK_FAILED ? disk->failure : *error;
	pthread_mutex_unlock(&disk->disks->lock);
}

/* --- snapshots -------------------------------------------------------------------------------- */

int disk_check_new_snapshot(struct disk *disk, const char *snapshot, struct sentence *error)
{
	bool taken;

	if (!snapshot_name_is_valid(snapshot))
		return report(error, -EINVAL, "'%s' cannot be a snapshot's name: up to %d bytes, no '/'", snapshot,
			      SNAPSHOT_NAME_MAX);
	pthread_mutex_lock(&disk->disks->lock);
	taken = disk_find_snapshot_locked(disk, snapshot) != NULL;
	pthread_mutex_unlock(&disk->disks->lock);
	return taken ? report(error, -EEXIST, "disk '%s' has a snapshot '%s' already", disk->name, snapshot) : 0;
}

void disk_unused_snapshot_name(struct disk *disk, const char *prefix, char name[SNAPSHOT_NAME_MAX + 1])
{
	time_t now = time(NULL);
	struct tm broken_down;
	char when[32] = "";
	bool taken;
	int n = 1;

	gmtime_r(&now, &broken_down);
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &broken_down);
	snprintf(name, SNAPSHOT_NAME_MAX + 1, "%s-%s", prefix, when);
	do {
		pthread_mutex_lock(&disk->disks->lock);
		taken = disk_find_snapshot_locked(disk, name) != NULL;
		pthread_mutex_unlock(&disk->disks->lock);
		if (taken)
			snprintf(name, SNAPSHOT_NAME_MAX + 1, "%s-%s-%d", prefix, when, ++n);
	} while (taken);
}

const struct disk *disk_find_clone_locked(const struct disk *origin)
{
	for (const struct disk *disk = origin->disks->first; disk; disk = disk->next_disk)
		if (disk->record.origin && strcmp(disk->record.origin, origin->name) == 0)
			return disk;
	return NULL;
}
