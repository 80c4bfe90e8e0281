/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A path is compared with mount points as text, component by component: anything else (stat,
 * realpath) may touch a mount whose daemon hangs, and then this process hangs too. Symbolic links
 * are followed one component at a time, up to the first revertfs mount: what is in that is not
 * looked at. Only root's links are: with another's a disk could be exchanged between this look and
 * QEMU's, and that a domain whose disk is found in no mount does not start is safe.
 *
 * Mounts of all types are kept: a tmpfs mounted inside a revertfs hides what is beneath it.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mountinfo.h"

#define LINKS_MAX 40 /* as the kernel's */

void mounts_free(struct mounts *mounts)
{
	if (!mounts)
		return;
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->items[i].point);
		free(mounts->items[i].images);
		free(mounts->items[i].device);
	}
	free(mounts->items);
	free(mounts);
}

void mounts_freep(struct mounts **mounts)
{
	mounts_free(*mounts);
}

static int add_mount(struct mounts *mounts, const struct mountinfo *line)
{
	struct mount *larger = reallocarray(mounts->items, mounts->count + 1, sizeof(*larger));
	struct mount *mount;

	if (!larger)
		return -ENOMEM;
	mounts->items = larger;
	mount = &larger[mounts->count++];
	mount->point = strdup(line->point);
	mount->images = strdup(line->source);
	mount->device = strdup(line->device);
	/* A bind mount of a directory inside a revertfs has no control file. */
	mount->revertfs = strcmp(line->type, MOUNTINFO_REVERTFS) == 0 && strcmp(line->root, "/") == 0;
	return mount->point && mount->images && mount->device ? 0 : -ENOMEM;
}

int mounts_parse(const char *text, struct mounts **ret_mounts)
{
	CLEANUP(mounts_freep) struct mounts *mounts = calloc(1, sizeof(*mounts));
	CLEANUP(freep) char *copy = strdup(text);
	char *cursor = copy;
	struct mountinfo line;
	int r = 0;

	if (!mounts || !copy)
		return -ENOMEM;
	while (r == 0 && mountinfo_next(&cursor, &line))
		r = add_mount(mounts, &line);
	if (r == 0)
		*ret_mounts = steal_pointer(&mounts);
	return r;
}

int mounts_read(const char *file, struct mounts **ret_mounts, struct sentence *error)
{
	CLEANUP(freep) char *text = NULL;
	int r = mountinfo_read(file, &text);

	if (r == 0)
		r = mounts_parse(text, ret_mounts);
	return r < 0 ? report(error, r, "cannot read the list of mounts, '%s': %s", file, error_text(r)) : 0;
}

const struct mount *mounts_of_path(const struct mounts *mounts, const char *path)
{
	const struct mount *best = NULL;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct mount *mount = &mounts->items[i];

		if (path_is_beneath(path, mount->point) && (!best || strlen(mount->point) >= strlen(best->point)))
			best = mount;
	}
	return best && best->revertfs ? best : NULL;
}

const struct mount *mounts_of_image(const struct mounts *mounts, const char *path)
{
	for (size_t i = 0; i < mounts->count; i++)
		if (mounts->items[i].revertfs && path_is_beneath(path, mounts->items[i].images))
			return &mounts->items[i];
	return NULL;
}

/* The target of a symbolic link of root's, to free; NULL where the path is none, or another's. */
static char *target_of_link(const char *path)
{
	CLEANUP(close_fdp) int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char target[PATH_MAX];
	struct stat stat;
	ssize_t n;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISLNK(stat.st_mode) || stat.st_uid != 0)
		return NULL;
	n = readlinkat(fd, "", target, sizeof(target));
	return n > 0 && (size_t)n < sizeof(target) ? strndup(target, (size_t)n) : NULL;
}

static void go_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		*slash = '\0';
}

/* The first component of a path, which is cut off; NULL when there is none, or no memory. */
static char *take_component(char *path)
{
	size_t blank = strspn(path, "/"), length = strcspn(path + blank, "/");
	char *name = length ? strndup(path + blank, length) : NULL;

	memmove(path, path + blank + length, strlen(path + blank + length) + 1);
	return name;
}

static void replace(char **text, char *other)
{
	free(*text);
	*text = other;
}

/*
 * `done` is what has been resolved, without a slash at its end, `rest` what has not. The result is
 * to be freed; NULL where there is none.
 */
static char *resolve(const struct mounts *mounts, const char *path)
{
	CLEANUP(freep) char *done = strdup("");
	CLEANUP(freep) char *rest = strdup(path);
	unsigned links = 0;

	while (done && rest && *rest && !mounts_of_path(mounts, done)) {
		CLEANUP(freep) char *name = take_component(rest);
		CLEANUP(freep) char *next = NULL;
		CLEANUP(freep) char *target = NULL;

		if (!name || strlen(done) + strlen(rest) > PATH_MAX)
			break;
		if (strcmp(name, "..") == 0)
			go_up(done);
		if (strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
			continue;
		next = format_text("%s/%s", done, name);
		target = next && !mounts_of_path(mounts, next) ? target_of_link(next) : NULL;
		if (target && ++links > LINKS_MAX)
			return NULL;
		if (target && target[0] == '/')
			*done = '\0';
		if (target)
			replace(&rest, format_text("%s/%s", target, rest));
		else
			replace(&done, steal_pointer(&next));
	}
	return done && rest ? format_text("%s%s", done, rest) : NULL;
}

static bool climbs(const char *path)
{
	for (const char *p = strstr(path, "/.."); p; p = strstr(p + 1, "/.."))
		if (p[3] == '/' || p[3] == '\0')
			return true;
	return false;
}

void mounts_follow(const struct mounts *mounts, char **path)
{
	CLEANUP(freep) char *resolved = NULL;

	if (!*path || **path != '/' || climbs(*path) || mounts_of_path(mounts, *path))
		return;
	resolved = resolve(mounts, *path);
	if (resolved && (mounts_of_path(mounts, resolved) || mounts_of_image(mounts, resolved)))
		replace(path, steal_pointer(&resolved));
}

static bool is_repeated(const struct mounts *mounts, const struct mount *mount)
{
	for (const struct mount *m = mounts->items; m < mount; m++)
		if (m->revertfs && strcmp(m->device, mount->device) == 0)
			return true;
	return false;
}

const struct mount *mounts_next(const struct mounts *mounts, const struct mount *last)
{
	for (size_t i = last ? (size_t)(last - mounts->items) + 1 : 0; i < mounts->count; i++)
		if (mounts->items[i].revertfs && !is_repeated(mounts, &mounts->items[i]))
			return &mounts->items[i];
	return NULL;
}
