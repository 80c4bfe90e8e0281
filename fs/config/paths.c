/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths are settled before anything is opened. A mount that a killed daemon left on the mountpoint
 * is detached first, because every path that leads into it fails with ENOTCONN, the images
 * directory among them where revertfs is mounted over the very directory that it serves.
 *
 * Only the paths that the administrator named are opened or resolved: looking into any other mount
 * might wait for a revertfs whose daemon hangs.
 */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mountinfo.h"

/*
 * "a/b/" is "b" in "a"; a lone "b" is in ".". EINVAL for "/", and for "." and "..", which name no
 * entry.
 */
static int split(const char *path, char **ret_directory, char **ret_last)
{
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(freep) char *last = NULL;
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	last = strndup(path + start, end - start);
	directory = start ? strndup(path, start) : strdup(".");
	if (!last || !directory)
		return -ENOMEM;
	if (!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return -EINVAL;
	*ret_directory = steal_pointer(&directory);
	*ret_last = steal_pointer(&last);
	return 0;
}

static char *join(const char *directory, const char *last)
{
	return format_text("%s/%s", strcmp(directory, "/") == 0 ? "" : directory, last);
}

/*
 * Resolve every component but the last, which may be a mount that no longer answers: the result is
 * the path that mountinfo has for that mount. NULL on failure.
 */
static char *resolve_all_but_last(const char *path)
{
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(freep) char *resolved = NULL;
	CLEANUP(freep) char *last = NULL;

	if (split(path, &directory, &last) < 0)
		return NULL;
	resolved = realpath(directory, NULL);
	return resolved ? join(resolved, last) : NULL;
}

/* open(2) asks the daemon; stat(2) may be answered from the kernel's cache. */
static bool is_dead(const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

void paths_detach(const char *mountpoint)
{
	CLEANUP(freep) char *path = resolve_all_but_last(mountpoint);
	dev_t device;
	bool ours;

	if (!path || mountinfo_find(path, &device, &ours) < 0 || !ours)
		return;
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		log_warning("cannot unmount '%s': %s", path, error_text(-errno));
}

/* Several may lie on one another, of daemons that were killed and started again by hand. */
static int detach_dead_mounts(const char *mountpoint, struct sentence *error)
{
	CLEANUP(freep) char *path = NULL;
	dev_t device;
	bool ours;

	while (is_dead(mountpoint)) {
		if (!path)
			path = resolve_all_but_last(mountpoint);
		if (!path || mountinfo_find(path, &device, &ours) < 0 || !ours)
			return report(error, -ENOTCONN, "'%s' is the dead mount of another filesystem", mountpoint);
		if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return report(error, -errno, "cannot detach the dead mount on '%s': %m", path);
		log_warning("a killed daemon's mount on '%s' was detached", path);
	}
	return 0;
}

/*
 * Resolve the part of the path that exists and append the rest: the state directory may still have
 * to be made. NULL with errno on failure.
 */
static char *resolve_what_exists(const char *path)
{
	CLEANUP(freep) char *directory = NULL;
	CLEANUP(freep) char *resolved = NULL;
	CLEANUP(freep) char *last = NULL;
	char *whole = realpath(path, NULL);

	if (whole || errno != ENOENT)
		return whole;
	if (split(path, &directory, &last) < 0) {
		errno = ENOENT;
		return NULL;
	}
	resolved = resolve_what_exists(directory);
	return resolved ? join(resolved, last) : NULL;
}

static int settle(char **path, const char *what, bool must_exist, struct sentence *error)
{
	char *resolved = must_exist ? realpath(*path, NULL) : resolve_what_exists(*path);
	struct stat st;

	if (!resolved)
		return report(error, -errno, "the %s '%s': %m", what, *path);
	free(*path);
	*path = resolved;
	if (stat(resolved, &st) == 0 && !S_ISDIR(st.st_mode))
		return report(error, -ENOTDIR, "the %s '%s' is not a directory", what, resolved);
	return 0;
}

/* A relative path is meant from the caller's directory, and the daemon changes to '/' later. */
static int settle_program(char **path, struct sentence *error)
{
	char *resolved;

	if (!strchr(*path, '/') || **path == '/')
		return 0;
	resolved = realpath(*path, NULL);
	if (!resolved)
		return report(error, -errno, "the program '%s': %m", *path);
	free(*path);
	*path = resolved;
	return 0;
}

static int refuse_nesting(const char *inner_what, const char *inner, const char *outer_what, const char *outer,
			  struct sentence *error)
{
	if (!inner || !path_is_beneath(inner, outer))
		return 0;
	return report(error, -EINVAL, "the %s '%s' lies in the %s '%s': choose another place for it", inner_what, inner,
		      outer_what, outer);
}

static int check_nesting(const struct options *options, struct sentence *error)
{
	const char *state = options->state, *scratch = options->scratch;
	int r = refuse_nesting("state directory", state, "images directory", options->images, error);

	/* A mount over the images directory is fine; one further inside would show itself. */
	if (r == 0 && strcmp(options->mount, options->images) != 0)
		r = refuse_nesting("mountpoint", options->mount, "images directory", options->images, error);
	if (r == 0)
		r = refuse_nesting("images directory", options->images, "state directory", state, error);
	if (r == 0)
		r = refuse_nesting("mountpoint", options->mount, "state directory", state, error);
	if (r == 0)
		r = refuse_nesting("state directory", state, "mountpoint", options->mount, error);
	if (r == 0)
		r = refuse_nesting("scratch directory", scratch, "images directory", options->images, error);
	if (r == 0)
		r = refuse_nesting("scratch directory", scratch, "mountpoint", options->mount, error);
	if (r == 0 && scratch)
		r = refuse_nesting("mountpoint", options->mount, "scratch directory", scratch, error);
	return r;
}

/* Overlays on overlays would work, but confuse everyone who looks for the real image. */
static int refuse_own_mount(const char *images, struct sentence *error)
{
	CLEANUP(freep) char *text = NULL;
	struct mountinfo mount;
	struct stat st;
	char *cursor;
	int r;

	if (stat(images, &st) < 0)
		return report(error, -errno, "the images directory '%s': %m", images);
	r = mountinfo_read(MOUNTINFO_FILE, &text);
	if (r < 0)
		return report(error, r, "cannot read " MOUNTINFO_FILE ": %s", error_text(r));
	cursor = text;
	while (mountinfo_next(&cursor, &mount))
		if (mountinfo_device(&mount) == st.st_dev && strcmp(mount.type, MOUNTINFO_REVERTFS) == 0)
			return report(error, -EBUSY, "the images directory '%s' is served by a revertfs already",
				      images);
	return 0;
}

int paths_settle_others(struct options *options, struct sentence *error)
{
	int r = settle(&options->state, "state directory", false, error);

	if (r == 0 && options->scratch)
		r = settle(&options->scratch, "scratch directory", false, error);
	if (r == 0)
		r = settle_program(&options->qemu_img, error);
	return r < 0 ? r : check_nesting(options, error);
}

int paths_settle(struct options *options, struct sentence *error)
{
	int r = detach_dead_mounts(options->mount, error);

	if (r == 0)
		r = settle(&options->images, "images directory", true, error);
	if (r == 0)
		r = settle(&options->mount, "mountpoint", true, error);
	if (r == 0)
		r = refuse_own_mount(options->images, error);
	return r < 0 ? r : paths_settle_others(options, error);
}
