/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread walks beneath the images directory, by descriptors, without following a symlink. What it
 * finds is for people alone, so it looks at so many entries and no more, and nobody waits for it:
 * filesystems there may not answer.
 */
#include "elsewhere_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "elsewhere.h"
#include "file.h"
#include "lock.h"
#include "log.h"
#include "loose.h"
#include "private.h"

#define DEPTH_MAX 16 /* each level keeps a descriptor */
#define ENTRIES_MAX 4096

struct walk {
	struct loose *thread;
	struct disks *disks;
	unsigned entries;
};

static bool goes_on(const struct walk *walk)
{
	return !loose_is_to_end(walk->thread) && walk->entries < ENTRIES_MAX;
}

static void look_into(struct walk *walk, int directory, const char *name, const char *path, int depth);

static void look_at(struct walk *walk, int directory, const char *name, const char *path, int depth)
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
static void look_into(struct walk *walk, int directory, const char *name, const char *path, int depth)
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

static void walk_all(struct loose *self, struct disks *disks)
{
	struct walk walk = { .thread = self, .disks = disks };
	struct sentence what;
	bool found = false;

	look_into(&walk, disks->images_fd, ".", "", 0);
	LOCKED (&disks->lock)
		found = elsewhere_said_locked(disks, &what);
	if (found)
		log_warning("%s", what.text);
}

void elsewhere_walk_start(struct disks *disks)
{
	int r = loose_start(disks, walk_all, NULL);

	if (r < 0)
		log_warning("images with commits in another state directory are not looked for: %s", error_text(r));
}
