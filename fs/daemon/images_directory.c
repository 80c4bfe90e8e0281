/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A daemon that starts before the images' filesystem is mounted finds an empty directory. Were
 * it served, each disk would fail, and whatever is written to the mount would lie beneath the
 * filesystem later. So it does not start, and systemd tries again; how the unit waits for the mount
 * is in systemd/.
 *
 * Where no image was recorded yet, the empty directory is served. A restart then finds that the
 * path leads elsewhere. Nobody uses anything of the empty one, so that it can be exchanged. A
 * directory that holds anything is kept as long as its mount lasts, for guests may have its files
 * open. The path is not looked at where a revertfs lies over it: the mount that is taken over
 * answers nobody yet.
 */
#include "images_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file_identity.h"
#include "in_time.h"
#include "layer.h"
#include "log.h"
#include "mountinfo.h"
#include "private.h"

#define LOOK_MS 2000

/* Whether the last mount on the way to the path is a revertfs. */
static bool is_beneath_revertfs(const char *path)
{
	CLEANUP(freep) char *part = strdup(path);
	char *slash;

	while (part && *part) {
		dev_t device;
		bool ours;

		if (mountinfo_find(part, &device, &ours) == 0)
			return ours;
		slash = strrchr(part, '/');
		if (!slash)
			break;
		*slash = '\0';
	}
	return !part;
}

static bool is_empty(int fd)
{
	static const char *const ours[] = { ".", "..", PRIVATE_DIRECTORY, "lost+found" };
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = again < 0 ? NULL : fdopendir(again);
	const struct dirent *entry;
	bool empty = directory;

	while (empty && (entry = readdir(directory))) {
		empty = false;
		for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
			empty = empty || strcmp(entry->d_name, ours[i]) == 0;
	}
	if (directory)
		closedir(directory);
	else
		close_fdp(&again);
	return empty;
}

static int open_path(void *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static void close_late(void *path, int fd)
{
	free(path);
	close_fdp(&fd);
}

/* The directory that the path leads to now, or -1 where that is the same or cannot be told. */
static int look_anew(const char *path, int kept)
{
	const struct timed_call call = { open_path, close_late, strdup(path) };
	CLEANUP(close_fdp) int fd = -1;
	unsigned left_ms = LOOK_MS;
	struct stat old, new;

	if (!call.context || is_beneath_revertfs(path)) {
		free(call.context);
		return -1;
	}
	if (!in_time(&left_ms, &call, &fd))
		return -1;
	free(call.context);
	if (fd < 0 || fstat(kept, &old) < 0 || fstat(fd, &new) < 0)
		return -1;
	return old.st_dev == new.st_dev &&old.st_ino == new.st_ino ? -1 : steal_fd(&fd);
}

int images_directory_open(const struct options *options, int *fd, struct sentence *error)
{
	const char *path = options->images;
	CLEANUP(close_fdp) int found = -1;

	if (*fd < 0) {
		*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return *fd < 0 ? report(error, -errno, "cannot open the images directory '%s': %m", path) : 0;
	}
	found = look_anew(path, *fd);
	if (found < 0)
		return 0;
	if (!is_empty(*fd)) {
		log_warning(
			"'%s' is another directory than the one that is served: something was mounted there, or it was replaced; to serve it, stop this revertfs and start it again",
			path);
		return 0;
	}
	log_info("'%s', which was empty, is another directory by now, and is served from now on", path);
	close_fdp(fd);
	*fd = steal_fd(&found);
	return 1;
}

/* Whether the image's last known place was in the filesystem that is there now: it was removed. */
static bool was_in(int directory, const struct image_stamp *stamp)
{
	char identity[IDENTITY_SIZE];
	struct stat st;
	int r = file_identity(directory, identity, sizeof(identity));

	if (r == 0)
		r = file_identity_same_filesystem(identity, stamp->identity);
	if (r >= 0)
		return r;
	return fstat(directory, &st) == 0 && st.st_dev == stamp->device;
}

int images_directory_check(struct disks *disks, struct sentence *error)
{
	const struct options *options = disks->options;
	const char *missing = NULL;

	if (handover_mount(disks->handover)->restarts)
		return 0;
	for (const struct layer *layer = disks->layers; layer; layer = layer->next) {
		CLEANUP(close_fdp) int fd = layer->record.image ? layer_open_file(layer, O_PATH) : -1;

		if (!layer->record.image)
			continue;
		if (fd != -ENOENT || was_in(disks->images_fd, &layer->record.stamp))
			return 0;
		missing = layer->record.image;
	}
	if (!missing)
		return 0;
	return report(
		error, -ENOENT,
		"none of the images that the state directory '%s' knows, such as '%s', is in '%s': is its filesystem mounted? Where all were removed for good, move that state away first: mv '%s' '%s.old'",
		options->state, missing, options->images, options->state, options->state);
}
