/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * root may export to anywhere but revertfs' own directories. Other callers may export to beneath
 * options.export_dirs: from there down no link is followed, and the last directory must be one that
 * the caller can write to, unless it is the export directory itself.
 *
 * The directory and all above it are compared by inode with revertfs' own, since a path's text may
 * lead to these by another name.
 */
#include "destination.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"
#include "mountinfo.h"

#define DEPTH_MAX 256

void destination_clear(struct destination *destination)
{
	close_fdp(&destination->directory);
	free(destination->path);
	free(destination->name);
	destination->path = destination->name = NULL;
}

static int check_text(const struct disks *disks, const char *path, struct sentence *error)
{
	const char *slash = strrchr(path, '/');

	if (path[0] != '/')
		return report(error, -EINVAL, "'%s' is not an absolute path", path);
	if (!slash[1] || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0)
		return report(error, -EINVAL, "'%s' does not name a file", path);
	if (strlen(path) >= PATH_MAX || strlen(slash + 1) > NAME_MAX - strlen(".json"))
		return report(error, -ENAMETOOLONG, "'%s' is too long", path);
	/* Told from the text, so that our own mount need not be asked. */
	if (path_is_beneath(path, disks->options->mount))
		return report(error, -EINVAL, "'%s' lies in the mount itself", path);
	return 0;
}

/* --- revertfs' own directories ---------------------------------------------------------------- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static const char *our_directory(const struct disks *disks, const struct stat *stat)
{
	const struct {
		int fd;
		const char *what;
	} ours[] = {
		{ disks->images_fd, "images" }, { disks->state_fd, "state" },     { disks->layers_fd, "state" },
		{ disks->disks_fd, "state" },   { disks->lost_fd, "state" },      { disks->intents_fd, "state" },
		{ disks->outputs_fd, "state" }, { disks->scratch_fd, "scratch" },
	};
	struct stat own;

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (ours[i].fd >= 0 && fstat(ours[i].fd, &own) == 0 && same_file(&own, stat))
			return ours[i].what;
	return NULL;
}

static bool is_our_mount(const struct disks *disks, int fd)
{
	struct statx stat;
	dev_t device;
	bool ours;

	if (mountinfo_find(disks->options->mount, &device, &ours) < 0)
		return false;
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &stat) == 0 &&
	       makedev(stat.stx_dev_major, stat.stx_dev_minor) == device;
}

static int check_not_ours(const struct disks *disks, int directory, const char *path, struct sentence *error)
{
	CLEANUP(close_fdp) int at = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	struct stat here, above;

	if (is_our_mount(disks, directory))
		return report(error, -EINVAL, "'%s' lies in the mount itself", path);
	if (at < 0 || fstat(at, &here) < 0)
		return report(error, -errno, "'%s' cannot be looked at: %s", path, error_text(-errno));
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		const char *what = our_directory(disks, &here);
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		close_fdp(&at);
		at = up;
		if (what)
			return report(error, -EINVAL, "'%s' lies in the %s directory of revertfs", path, what);
		if (at < 0 || fstat(at, &above) < 0)
			return report(error, -errno, "what lies above '%s' cannot be looked at: %s", path,
				      error_text(-errno));
		if (same_file(&here, &above))
			return 0;
		here = above;
	}
	return report(error, -ENAMETOOLONG, "'%s' lies too deep", path);
}

/* --- the caller's rights ---------------------------------------------------------------------- */

/* The export directory that the path lies in; *ret_rest is what comes below it, "" for nothing. */
static const char *find_export_directory(const struct options *options, const char *directory, const char **ret_rest)
{
	for (size_t i = 0; i < options->export_dirs.count; i++) {
		const char *allowed = options->export_dirs.items[i];
		size_t length = strlen(allowed);

		while (length > 1 && allowed[length - 1] == '/')
			length--;
		if (strncmp(directory, allowed, length) != 0 ||
		    (directory[length] && directory[length] != '/' && length > 1))
			continue;
		*ret_rest = directory + length;
		while (**ret_rest == '/')
			(*ret_rest)++;
		return allowed;
	}
	return NULL;
}

static int open_for_other(const struct disks *disks, const struct caller *caller, const char *directory,
			  struct sentence *error)
{
	const char *rest = "", *allowed = find_export_directory(disks->options, directory, &rest);
	CLEANUP(close_fdp) int top = -1;
	int fd;

	if (!allowed)
		return report(error, -EPERM,
			      "'%s' does not lie in one of the export-dirs, where others than root may export to",
			      directory);
	/* What the administrator named may be a link. */
	top = open(allowed, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return report(error, -errno, "the export directory '%s' cannot be opened: %s", allowed,
			      error_text(-errno));
	if (!*rest)
		return steal_fd(&top);
	if (check_relative_name(rest) < 0)
		return report(error, -EINVAL, "'%s' is not a plain path", directory);
	fd = io_open_beneath(top, rest, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return report(error, fd, "'%s' cannot be opened: %s", directory, error_text(fd));
	if (!identity_may(&caller->who, fd, W_OK | X_OK)) {
		close(fd);
		return report(error, -EPERM, "you may not write to '%s'", directory);
	}
	return fd;
}

static int open_directory(const struct disks *disks, const struct caller *caller, const char *directory,
			  struct sentence *error)
{
	int fd;

	if (caller->who.uid)
		return open_for_other(disks, caller, directory, error);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? report(error, -errno, "'%s' cannot be opened: %s", directory, error_text(-errno)) : fd;
}

static char *path_of(int directory)
{
	char self[64], path[PATH_MAX];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", directory);
	n = readlink(self, path, sizeof(path) - 1);
	return n <= 0 ? NULL : strndup(path, (size_t)n);
}

int destination_open(struct disks *disks, const struct caller *caller, const char *path,
		     struct destination *ret_destination, struct sentence *error)
{
	CLEANUP(destination_clear) struct destination destination = { .directory = -1 };
	CLEANUP(freep) char *directory = NULL;
	const char *last;
	int r = check_text(disks, path, error);

	if (r < 0)
		return r;
	last = strrchr(path, '/') + 1;
	destination.name = strdup(last);
	directory = strndup(path, (size_t)(last - path));
	if (!directory || !destination.name)
		return report(error, -ENOMEM, "out of memory");
	for (size_t length = strlen(directory); length > 1 && directory[length - 1] == '/';)
		directory[--length] = '\0';
	destination.directory = open_directory(disks, caller, directory, error);
	if (destination.directory < 0)
		return destination.directory;
	r = check_not_ours(disks, destination.directory, path, error);
	if (r < 0)
		return r;
	destination.path = path_of(destination.directory);
	if (!destination.path)
		return report(error, -ENOMEM, "out of memory");
	*ret_destination = destination;
	destination = (struct destination){ .directory = -1 };
	return 0;
}

int destination_check(const struct destination *destination, const struct caller *caller, const char *name,
		      bool replace, struct sentence *error)
{
	struct stat stat;

	if (fstatat(destination->directory, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : report(error, -errno, "'%s/%s' cannot be looked at: %s", destination->path,
						name, error_text(-errno));
	if (!replace)
		return report(error, -EEXIST, "'%s/%s' exists already; replace=yes overwrites it", destination->path,
			      name);
	if (!S_ISREG(stat.st_mode))
		return report(error, -EINVAL, "'%s/%s' is not a regular file, and is not replaced", destination->path,
			      name);
	if (caller->who.uid && stat.st_uid != caller->who.uid)
		return report(error, -EPERM, "'%s/%s' is not yours to replace", destination->path, name);
	return 0;
}
