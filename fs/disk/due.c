/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   WAITING --the background, or somebody who opens it--> AT_WORK --protected or refused--> SETTLED
 *
 * What is SETTLED is forgotten when all were found. Until then it is remembered, for a name that is
 * looked up and not in the list is due: what was refused, or unprotected since, would be so again
 * and again.
 *
 * A glob may cover directories of users, who make files at will: each of them gets so many disks,
 * and so many names into the list, and root as many as there are.
 *
 * due->lock guards the list. It is held for no more than looking through it: the file is protected
 * without it.
 */
#include "due.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "beneath.h"
#include "disk.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "model.h"

#define RUNS_OF_QEMU_IMG 2 /* protecting looks at the image and makes a blank */

#define DISKS_OF_A_USER 1024
#define DESCRIPTORS_FOR_EACH 32 /* a disk has three: of all descriptors, a user's disks have a tenth at most */

enum due_state { WAITING, AT_WORK, SETTLED };

struct due_name {
	char *name;
	dev_t device; /* the file that was last seen under it */
	ino_t inode;
	uid_t owner;
	enum due_state state;
	unsigned users; /* threads that protect it or wait for that */
	struct due_name *next;
};

struct due {
	pthread_mutex_t lock;
	pthread_cond_t settled;
	struct due_name *first, **end;
	size_t left; /* that are not SETTLED */
	bool all_found;
	size_t of_a_user; /* disks, and names in the list; set once */
	uid_t crowd;      /* who has as many, of whom nothing was said yet; 0: nobody */
	bool told;        /* of one: the others can be many */
};

static size_t disks_of_a_user(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };
	size_t part;

	getrlimit(RLIMIT_NOFILE, &limit);
	part = (size_t)(limit.rlim_cur / DESCRIPTORS_FOR_EACH);
	return part < DISKS_OF_A_USER ? part : DISKS_OF_A_USER;
}

int due_new(struct disks *disks)
{
	struct due *due = calloc(1, sizeof(*due));

	if (!due)
		return -ENOMEM;
	due->of_a_user = disks_of_a_user();
	due->end = &due->first;
	pthread_mutex_init(&due->lock, NULL);
	cond_init_monotonic(&due->settled);
	disks->due = due;
	return 0;
}

static void free_name(struct due_name *name)
{
	free(name->name);
	free(name);
}

void due_free(struct disks *disks)
{
	struct due *due = disks->due;

	if (!due)
		return;
	while (due->first) {
		struct due_name *next = due->first->next;

		free_name(due->first);
		due->first = next;
	}
	pthread_cond_destroy(&due->settled);
	pthread_mutex_destroy(&due->lock);
	free(due);
	disks->due = NULL;
}

static bool matches(const struct disks *disks, const char *name)
{
	const struct text_list *globs = &disks->options->protect;

	for (size_t i = 0; i < globs->count; i++)
		if (fnmatch(globs->items[i], name, 0) == 0)
			return true;
	return false;
}

static struct due_name *find_locked(const struct due *due, const char *name)
{
	struct due_name *found = due->first;

	while (found && strcmp(found->name, name) != 0)
		found = found->next;
	return found;
}

static bool is_crowded_locked(struct due *due, uid_t owner)
{
	size_t count = 0;

	for (const struct due_name *name = due->first; name && owner; name = name->next)
		count += name->owner == owner;
	if (count < due->of_a_user)
		return false;
	due->crowd = owner;
	return true;
}

/* NULL when out of memory, or the owner has too many. */
static struct due_name *add_locked(struct due *due, const char *name, uid_t owner)
{
	struct due_name *added = is_crowded_locked(due, owner) ? NULL : calloc(1, sizeof(*added));

	if (added)
		added->name = strdup(name);
	if (!added || !added->name) {
		free(added);
		return NULL;
	}
	added->owner = owner;
	*due->end = added;
	due->end = &added->next;
	due->left++;
	return added;
}

static struct due_name *find_file_locked(const struct due *due, dev_t device, ino_t inode)
{
	struct due_name *found = due->first;

	while (found && (found->state == SETTLED || found->inode != inode || found->device != device))
		found = found->next;
	return found;
}

static struct due_name *find_left_locked(const struct due *due, const char *name)
{
	return due->left || !due->all_found ? find_locked(due, name) : NULL;
}

/* Once all were found, only those that are known are due. NULL also where it cannot be added. */
static struct due_name *find_or_add_locked(struct disks *disks, const char *name, uid_t owner)
{
	struct due *due = disks->due;
	struct due_name *found = find_left_locked(due, name);

	return found || due->all_found || !matches(disks, name) ? found : add_locked(due, name, owner);
}

bool due_is_name(struct disks *disks, const char *name)
{
	struct due *due = disks->due;
	bool is = false;

	if (!due)
		return false;
	LOCKED (&due->lock)
		is = find_left_locked(due, name) || (!due->all_found && matches(disks, name));
	return is;
}

/* Once; not under the lock. */
static void tell_crowd(struct due *due)
{
	uid_t crowd = 0;

	LOCKED (&due->lock) {
		crowd = due->told ? 0 : due->crowd;
		due->told = due->told || crowd;
	}
	if (crowd)
		log_warning(
			"'-o protect': user %u has %zu images that match, and no user gets more disks by that: what else he has is served as it is, or protected by 'protect NAME'",
			crowd, due->of_a_user);
}

void due_found(struct disks *disks, const char *name, const struct stat *stat)
{
	if (!disks->due)
		return;
	LOCKED (&disks->due->lock) {
		struct due_name *found = find_or_add_locked(disks, name, stat->st_uid);

		if (found) {
			found->device = stat->st_dev;
			found->inode = stat->st_ino;
			found->owner = stat->st_uid;
		}
	}
	tell_crowd(disks->due);
}

static void forget_settled_locked(struct due *due)
{
	struct due_name **at = &due->first;

	while (*at) {
		struct due_name *name = *at;

		if (name->state == SETTLED && !name->users) {
			*at = name->next;
			free_name(name);
		} else {
			at = &name->next;
		}
	}
	due->end = at;
}

void due_all_found(struct disks *disks)
{
	LOCKED (&disks->due->lock) {
		disks->due->all_found = true;
		forget_settled_locked(disks->due);
	}
}

static bool is_disk(struct disks *disks, const char *name)
{
	struct disk *disk = disks_find(disks, name);

	disk_put(disk);
	return disk != NULL;
}

/* A regular file, by a path that no symlink is on. */
static bool look(const struct disks *disks, const char *name, struct stat *ret_stat)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(disks->images_fd, name, O_PATH | O_NOFOLLOW);

	return fd >= 0 && fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode);
}

/* Whether the image's owner has as many disks as he gets. */
static bool is_one_too_many(struct disks *disks, const char *name)
{
	struct stat stat;
	size_t count = 0;

	if (!look(disks, name, &stat) || !stat.st_uid)
		return false;
	LOCKED (&disks->lock)
		count = layer_count_images_locked(disks, stat.st_uid);
	if (count < disks->due->of_a_user)
		return false;
	LOCKED (&disks->due->lock)
		disks->due->crowd = stat.st_uid;
	tell_crowd(disks->due);
	return true;
}

static void protect(struct disks *disks, const char *name)
{
	struct sentence error = { "" };
	int r;

	if (is_disk(disks, name) || is_one_too_many(disks, name))
		return;
	r = disk_protect(disks, name, NULL, &error);
	/* A session's start, or `protect`, may have been first. */
	if (r < 0 && !is_disk(disks, name))
		log_error("'%s' matches '-o protect' and is served unprotected: %s", name,
			  *error.text ? error.text : error_text(r));
}

static void protect_locked(struct disks *disks, struct due_name *name)
{
	struct due *due = disks->due;

	name->state = AT_WORK;
	pthread_mutex_unlock(&due->lock);
	protect(disks, name->name);
	pthread_mutex_lock(&due->lock);
	name->state = SETTLED;
	due->left--;
	pthread_cond_broadcast(&due->settled);
}

/* Until another thread is done with it. */
static int wait_locked(struct disks *disks, const struct due_name *name)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)disks->options->qemu_timeout * RUNS_OF_QEMU_IMG;
	while (r == 0 && name->state == AT_WORK)
		r = pthread_cond_timedwait(&disks->due->settled, &disks->due->lock, &until);
	return name->state == AT_WORK ? -EBUSY : 0;
}

/* Gives the lock back meanwhile; `name` may be gone afterwards. NULL is none. */
static int settle_locked(struct disks *disks, struct due_name *name)
{
	int r = 0;

	if (!name)
		return 0;
	name->users++;
	if (name->state == WAITING)
		protect_locked(disks, name);
	else
		r = wait_locked(disks, name);
	name->users--;
	if (disks->due->all_found)
		forget_settled_locked(disks->due);
	return r;
}

static struct due_name *first_waiting_locked(const struct due *due)
{
	struct due_name *found = due->first;

	while (found && found->state != WAITING)
		found = found->next;
	return found;
}

bool due_settle_next(struct disks *disks)
{
	struct due_name *next = NULL;

	LOCKED (&disks->due->lock) {
		next = first_waiting_locked(disks->due);
		settle_locked(disks, next);
	}
	return next != NULL;
}

size_t due_left(struct disks *disks, struct sentence *ret_names)
{
	size_t count = 0, length = 0;

	ret_names->text[0] = '\0';
	LOCKED (&disks->due->lock)
		for (const struct due_name *name = disks->due->first; name; name = name->next) {
			if (name->state == SETTLED)
				continue;
			if (count++ < DUE_NAMES_TOLD && length < sizeof(ret_names->text))
				length += (size_t)snprintf(ret_names->text + length, sizeof(ret_names->text) - length,
							   "%s'%.80s'", length ? ", " : "", name->name);
		}
	return count;
}

int due_settle(struct disks *disks, const char *name)
{
	struct stat stat;
	int r = 0;

	if (!disks->due || is_disk(disks, name) || !look(disks, name, &stat))
		return 0;
	LOCKED (&disks->due->lock)
		r = settle_locked(disks, find_or_add_locked(disks, name, stat.st_uid));
	tell_crowd(disks->due);
	return r;
}

int due_settle_file(struct disks *disks, dev_t device, ino_t inode)
{
	int r = 0;

	if (!disks->due)
		return 0;
	LOCKED (&disks->due->lock)
		r = settle_locked(disks, find_file_locked(disks->due, device, inode));
	return r;
}

bool due_is_file(struct disks *disks, dev_t device, ino_t inode)
{
	bool is = false;

	if (!disks->due)
		return false;
	LOCKED (&disks->due->lock)
		is = disks->due->left && find_file_locked(disks->due, device, inode);
	return is;
}
