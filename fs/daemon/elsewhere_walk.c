/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread walks beneath the images directory, by descriptors, without following a symlink. What it
 * finds is for people alone, so it looks at so many entries and no more, and nobody waits for it:
 * filesystems there may not answer.
 */
#include "elsewhere_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "elsewhere.h"
#include "file.h"
#include "lock.h"
#include "log.h"
#include "private.h"

#define DEPTH_MAX 16 /* each level keeps a descriptor */
#define ENTRIES_MAX 4096
#define STOP_WAITS_S 3

struct elsewhere_walk {
	struct disks *disks;
	int images_fd;
	unsigned entries;
	pthread_t thread;
	atomic_bool stop;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended; /* guarded by the lock */
};

static bool goes_on(const struct elsewhere_walk *walk)
{
	return !atomic_load(&walk->stop) && walk->entries < ENTRIES_MAX;
}

static void look_into(struct elsewhere_walk *walk, int directory, const char *name, const char *path, int depth);

static void look_at(struct elsewhere_walk *walk, int directory, const char *name, const char *path, int depth)
{
	struct stat st;

	if (strcmp(path, PRIVATE_DIRECTORY) == 0 || file_look(directory, name, &st) < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		CLEANUP(close_fdp) int fd = io_open_beneath(directory, name, O_PATH | O_NOFOLLOW);

		if (fd >= 0)
			elsewhere_look(walk->disks, path, fd);
	} else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		look_into(walk, directory, name, path, depth + 1);
	}
}

/* `path` is that of the directory `name`, "" for the images directory itself. */
static void look_into(struct elsewhere_walk *walk, int directory, const char *name, const char *path, int depth)
{
	int fd = io_open_beneath(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	if (!stream) {
		close_fdp(&fd);
		return;
	}
	while (goes_on(walk) && (entry = readdir(stream))) {
		CLEANUP(freep) char *below = NULL;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		walk->entries++;
		below = format_text("%s%s%s", path, *path ? "/" : "", entry->d_name);
		if (below)
			look_at(walk, fd, entry->d_name, below, depth);
	}
	closedir(stream);
}

static void *run(void *context)
{
	struct elsewhere_walk *walk = context;
	struct sentence what;
	bool found = false;

	look_into(walk, walk->images_fd, ".", "", 0);
	LOCKED (&walk->disks->lock)
		found = elsewhere_said_locked(walk->disks, &what);
	if (found)
		log_warning("%s", what.text);
	LOCKED (&walk->lock) {
		walk->ended = true;
		pthread_cond_broadcast(&walk->changed);
	}
	return NULL;
}

static void free_walk(struct elsewhere_walk *walk)
{
	pthread_cond_destroy(&walk->changed);
	pthread_mutex_destroy(&walk->lock);
	free(walk);
}

struct elsewhere_walk *elsewhere_walk_start(struct disks *disks, int images_fd)
{
	struct elsewhere_walk *walk = calloc(1, sizeof(*walk));
	int r = -ENOMEM;

	if (walk) {
		walk->disks = disks;
		walk->images_fd = images_fd;
		atomic_init(&walk->stop, false);
		pthread_mutex_init(&walk->lock, NULL);
		cond_init_monotonic(&walk->changed);
		r = -pthread_create(&walk->thread, NULL, run, walk);
	}
	if (r == 0)
		return walk;
	log_warning("images with commits in another state directory are not looked for: %s", error_text(r));
	if (walk)
		free_walk(walk);
	return NULL;
}

static bool wait_for_end(struct elsewhere_walk *walk)
{
	struct timespec until;
	bool ended = false;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_WAITS_S;
	LOCKED (&walk->lock) {
		while (r == 0 && !walk->ended)
			r = pthread_cond_timedwait(&walk->changed, &walk->lock, &until);
		ended = walk->ended;
	}
	return ended;
}

bool elsewhere_walk_stop(struct elsewhere_walk *walk)
{
	if (!walk)
		return true;
	atomic_store(&walk->stop, true);
	if (!wait_for_end(walk))
		return false;
	pthread_join(walk->thread, NULL);
	free_walk(walk);
	return true;
}
