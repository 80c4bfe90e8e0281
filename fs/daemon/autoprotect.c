/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A walk beneath the images directory, by descriptors, without following a symlink. It ends before
 * the mount answers requests, so that nobody can open a matching image unprotected.
 */
#include "autoprotect.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "listing.h"
#include "log.h"

#define DEPTH_MAX 64 /* each level of the walk keeps a descriptor */

struct walk {
	const struct options *options;
	struct disks *disks;
	unsigned protected_now;
};

static bool matches(const struct options *options, const char *name)
{
	for (size_t i = 0; i < options->protect.count; i++) {
		if (fnmatch(options->protect.items[i], name, 0) == 0)
			return true;
	}
	return false;
}

static void protect(struct walk *walk, const char *name)
{
	struct disk *disk = disks_find(walk->disks, name);
	struct sentence error = { "" };
	int r;

	if (disk) {
		disk_put(disk);
		return;
	}
	r = disk_protect(walk->disks, name, NULL, &error);
	if (r < 0)
		log_error("'%s' matches '-o protect' and is served unprotected: %s", name,
			  *error.text ? error.text : error_text(r));
	else
		walk->protected_now++;
}

static void walk_directory(struct walk *walk, int directory, const char *path, int depth);

static void walk_entry(struct walk *walk, int directory, const char *name, const char *path, int depth)
{
	CLEANUP(close_fdp) int fd = -1;
	struct stat st;

	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISREG(st.st_mode) && matches(walk->options, path))
		protect(walk, path);
	if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
		return;
	fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		log_warning("cannot look for images in '%s': %s", path, error_text(-errno));
	else
		walk_directory(walk, fd, path, depth + 1);
}

static void walk_directory(struct walk *walk, int directory, const char *path, int depth)
{
	CLEANUP(listing_freep) struct listing *listing = listing_new();
	int r = listing ? listing_read(listing, directory) : -ENOMEM;

	if (r < 0) {
		log_warning("cannot look for images in '%s': %s", *path ? path : walk->options->images, error_text(r));
		return;
	}
	listing_sort(listing);
	for (size_t i = 0; i < listing->count; i++) {
		const char *name = listing->entries[i].name;
		CLEANUP(freep) char *below = format_text("%s%s%s", path, *path ? "/" : "", name);

		if (below)
			walk_entry(walk, directory, name, below, depth);
	}
}

unsigned protect_matching(const struct options *options, int images_fd, struct disks *disks)
{
	struct walk walk = { .options = options, .disks = disks };

	if (options->protect.count) {
		CLEANUP(close_fdp) int fd = openat(images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			log_warning("cannot look for images in '%s': %s", options->images, error_text(-errno));
		else
			walk_directory(&walk, fd, "", 0);
	}
	return walk.protected_now;
}
