/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread walks beneath the images directory, by descriptors, without following a symlink, and
 * then protects what it has found. Directories and images may be any user's, and lie on filesystems
 * that do not answer; so neither the mount waits for it for long, nor does it go on without end.
 * What is left is protected when somebody opens it (disk/due.h).
 */
#include "autoprotect.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "due.h"
#include "file.h"
#include "image_stamp.h"
#include "layer.h"
#include "listing.h"
#include "lock.h"
#include "log.h"
#include "private.h"

#define DEPTH_MAX 64      /* each level of the walk keeps a descriptor */
#define MOUNT_WAITS_S 5   /* for the end of all, before it answers */
#define DEADLINE_MS 60000 /* for all */
#define STOP_WAITS_S 3    /* for what a filesystem beneath, or a qemu-img, may not answer */

struct autoprotect {
	const struct options *options;
	struct disks *disks;
	int images_fd;
	uint64_t deadline; /* monotonic ms */
	pthread_t thread;
	atomic_bool stop;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended; /* guarded by the lock */
};

static bool is_late(const struct autoprotect *autoprotect)
{
	return atomic_load(&autoprotect->stop) || monotonic_ms() > autoprotect->deadline;
}

/* Whose image it is: users get only so many disks. */
static void look_at_disk(struct disks *disks, const char *name)
{
	struct disk *disk = disks_find(disks, name);

	if (disk && disk->root)
		image_look_at(disk->root);
	disk_put(disk);
}

static void walk_directory(struct autoprotect *autoprotect, int directory, const char *path, int depth);

static void walk_entry(struct autoprotect *autoprotect, int directory, const char *name, const char *path, int depth)
{
	CLEANUP(close_fdp) int fd = -1;
	struct stat st;

	if (strcmp(path, PRIVATE_DIRECTORY) == 0 || file_look(directory, name, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		look_at_disk(autoprotect->disks, path);
		due_found(autoprotect->disks, path, &st);
	}
	if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
		return;
	fd = io_open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0)
		log_warning("cannot look for images in '%s': %s", path, error_text(fd));
	else
		walk_directory(autoprotect, fd, path, depth + 1);
}

static void walk_directory(struct autoprotect *autoprotect, int directory, const char *path, int depth)
{
	CLEANUP(listing_freep) struct listing *listing = listing_new();
	int r = listing ? listing_read(listing, directory) : -ENOMEM;

	if (r < 0) {
		log_warning("cannot look for images in '%s': %s", *path ? path : autoprotect->options->images,
			    error_text(r));
		return;
	}
	listing_sort(listing);
	for (size_t i = 0; i < listing->count && !is_late(autoprotect); i++) {
		const char *name = listing->entries[i].name;
		CLEANUP(freep) char *below = format_text("%s%s%s", path, *path ? "/" : "", name);

		if (below)
			walk_entry(autoprotect, directory, name, below, depth);
	}
}

static void find_all(struct autoprotect *autoprotect)
{
	CLEANUP(close_fdp) int fd = openat(autoprotect->images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		log_warning("cannot look for images in '%s': %s", autoprotect->options->images, error_text(-errno));
	else
		walk_directory(autoprotect, fd, "", 0);
}

static void say_what_is_left(const struct autoprotect *autoprotect, bool all_found)
{
	struct sentence names;
	size_t count = due_left(autoprotect->disks, &names);

	if (!all_found)
		log_warning(
			"'-o protect': after %d s not all directories were looked through; what matches is protected when it is opened, or by 'protect NAME'",
			DEADLINE_MS / 1000);
	if (count)
		log_warning(
			"'-o protect': after %d s %zu images are not protected yet (%s%s); each is when it is opened, or by 'protect NAME'",
			DEADLINE_MS / 1000, count, names.text,
			strlen(names.text) && count > DUE_NAMES_TOLD ? ", ..." : "");
}

static void *run(void *context)
{
	struct autoprotect *autoprotect = context;
	bool all_found;

	find_all(autoprotect);
	all_found = !is_late(autoprotect);
	if (all_found)
		due_all_found(autoprotect->disks);
	while (!is_late(autoprotect) && due_settle_next(autoprotect->disks))
		;
	if (!atomic_load(&autoprotect->stop))
		say_what_is_left(autoprotect, all_found);
	LOCKED (&autoprotect->lock) {
		autoprotect->ended = true;
		pthread_cond_broadcast(&autoprotect->changed);
	}
	return NULL;
}

/* Whether it has ended by then. */
static bool wait_for_end(struct autoprotect *autoprotect, int seconds)
{
	struct timespec until;
	bool ended = false;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += seconds;
	LOCKED (&autoprotect->lock) {
		while (r == 0 && !autoprotect->ended)
			r = pthread_cond_timedwait(&autoprotect->changed, &autoprotect->lock, &until);
		ended = autoprotect->ended;
	}
	return ended;
}

static void free_autoprotect(struct autoprotect *autoprotect)
{
	due_free(autoprotect->disks);
	pthread_cond_destroy(&autoprotect->changed);
	pthread_mutex_destroy(&autoprotect->lock);
	free(autoprotect);
}

static struct autoprotect *make(const struct options *options, int images_fd, struct disks *disks)
{
	struct autoprotect *autoprotect = calloc(1, sizeof(*autoprotect));

	if (!autoprotect)
		return NULL;
	autoprotect->options = options;
	autoprotect->disks = disks;
	autoprotect->images_fd = images_fd;
	autoprotect->deadline = monotonic_ms() + DEADLINE_MS;
	atomic_init(&autoprotect->stop, false);
	pthread_mutex_init(&autoprotect->lock, NULL);
	cond_init_monotonic(&autoprotect->changed);
	return autoprotect;
}

int autoprotect_start(const struct options *options, int images_fd, struct disks *disks, bool wait,
		      struct autoprotect **ret_autoprotect)
{
	struct autoprotect *autoprotect;
	int r;

	*ret_autoprotect = NULL;
	if (!options->protect.count)
		return 0;
	autoprotect = make(options, images_fd, disks);
	if (!autoprotect)
		return -ENOMEM;
	r = due_new(disks);
	if (r == 0)
		r = -pthread_create(&autoprotect->thread, NULL, run, autoprotect);
	if (r < 0) {
		free_autoprotect(autoprotect);
		return r;
	}
	*ret_autoprotect = autoprotect;
	if (wait && !wait_for_end(autoprotect, MOUNT_WAITS_S))
		log_info(
			"'-o protect' takes long and goes on while the mount answers; an image that is opened comes first");
	return 0;
}

bool autoprotect_stop(struct autoprotect *autoprotect)
{
	if (!autoprotect)
		return true;
	atomic_store(&autoprotect->stop, true);
	if (!wait_for_end(autoprotect, STOP_WAITS_S))
		return false;
	pthread_join(autoprotect->thread, NULL);
	free_autoprotect(autoprotect);
	return true;
}
