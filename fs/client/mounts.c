/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A path is compared with mount points as text, component by component: anything else (stat,
 * realpath) may touch a mount whose daemon hangs, and then this process hangs too. So a path that
 * reaches a mount through a symbolic link is found in no mount. That is safe: the hook refuses to
 * start such a domain.
 *
 * Mounts of all types are kept: a tmpfs mounted inside a revertfs hides what is beneath it.
 */
#include "mounts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mountinfo.h"

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
