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
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "due.h"
#include "file.h"
#include "image_stamp.h"
#include "layer.h"
#include "listing.h"
#include "log.h"
#include "loose.h"
#include "private.h"

#define DEPTH_MAX 64      /* each level of the walk keeps a descriptor */
#define MOUNT_WAITS_S 5   /* for the end of all, before it answers */
#define DEADLINE_MS 60000 /* for all */

struct autoprotect {
	struct loose *thread;
	struct disks *disks;
	uint64_t deadline; /* monotonic ms */
};

static bool is_late(const struct autoprotect *autoprotect)
{
	return loose_is_to_end(autoprotect->thread) || monotonic_ms() > autoprotect->deadline;
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
		log_warning("cannot look for images in '%s': %s", *path ? path : autoprotect->disks->options->images,
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
	const struct disks *disks = autoprotect->disks;
	CLEANUP(close_fdp) int fd = openat(disks->images_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		log_warning("cannot look for images in '%s': %s", disks->options->images, error_text(-errno));
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

static void protect_all(struct loose *self, struct disks *disks)
{
	struct autoprotect autoprotect = {
		.thread = self,
		.disks = disks,
		.deadline = monotonic_ms() + DEADLINE_MS,
	};
	bool all_found;

	find_all(&autoprotect);
	all_found = !is_late(&autoprotect);
	if (all_found)
		due_all_found(disks);
	while (!is_late(&autoprotect) && due_settle_next(disks))
		;
	if (!loose_is_to_end(self))
		say_what_is_left(&autoprotect, all_found);
}

int autoprotect_start(struct disks *disks, bool wait)
{
	struct loose *thread = NULL;
	int r;

	if (!disks->options->protect.count)
		return 0;
	r = due_new(disks);
	if (r == 0)
		r = loose_start(disks, protect_all, &thread);
	if (r < 0)
		return r;
	if (wait && !loose_wait(thread, MOUNT_WAITS_S))
		log_info(
			"'-o protect' takes long and goes on while the mount answers; an image that is opened comes first");
	return 0;
}
