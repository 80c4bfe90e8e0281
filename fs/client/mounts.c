/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A path is compared with mount points as text, component by component: anything else (stat, realpath) may
 * touch a mount whose daemon hangs, and then this process hangs too. A path that reaches a mount through a
 * symbolic link is therefore in no mount, which is refused and not a danger.
 *
 * All mounts are kept, of whatever type: a tmpfs mounted inside a revertfs hides what is beneath it.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOUNTINFO_MAX (64 << 20)

/* In the order of proc(5), up to the optional fields. */
enum field { FIELD_ID, FIELD_PARENT, FIELD_DEVICE, FIELD_ROOT, FIELD_POINT, FIELDS };

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

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' && p[2] <= '7';
}

/* The kernel writes blanks, newlines, backslashes and '#' as \ooo. In place. */
static void undo_escapes(char *text)
{
	char *out = text;

	for (char *p = text; *p; p++) {
		if (*p == '\\' && is_octal(p + 1)) {
			*out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
}

static int add_mount(struct mounts *mounts, char *fields[FIELDS], const char *type, char *source)
{
	struct mount *larger = reallocarray(mounts->items, mounts->count + 1, sizeof(*larger));
	struct mount *mount;

	if (!larger)
		return -ENOMEM;
	mounts->items = larger;
	mount = &larger[mounts->count++];
	undo_escapes(fields[FIELD_POINT]);
	undo_escapes(source);
	mount->point = strdup(fields[FIELD_POINT]);
	mount->images = strdup(source);
	mount->device = strdup(fields[FIELD_DEVICE]);
	/* A bind mount of a directory inside has no control file. */
	mount->revertfs = strcmp(type, "fuse.revertfs") == 0 && strcmp(fields[FIELD_ROOT], "/") == 0;
	return mount->point && mount->images && mount->device ? 0 : -ENOMEM;
}

/* A line that is not as proc(5) says is no mount. */
static int parse_line(struct mounts *mounts, char *line)
{
	char *fields[FIELDS], *type, *source, *place = NULL, *p = line;
	char *separator = strstr(line, " - ");

	if (!separator)
		return 0;
	*separator = '\0';
	for (int i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&p, " ");
		if (!fields[i])
			return 0;
	}
	type = strtok_r(separator + 3, " ", &place);
	source = type ? strtok_r(NULL, " ", &place) : NULL;
	return source ? add_mount(mounts, fields, type, source) : 0;
}

int mounts_parse(const char *text, struct mounts **ret_mounts)
{
	CLEANUP(mounts_freep) struct mounts *mounts = calloc(1, sizeof(*mounts));
	CLEANUP(freep) char *copy = strdup(text);
	char *place = NULL;

	if (!mounts || !copy)
		return -ENOMEM;
	for (char *line = strtok_r(copy, "\n", &place); line; line = strtok_r(NULL, "\n", &place)) {
		int r = parse_line(mounts, line);

		if (r < 0)
			return r;
	}
	*ret_mounts = steal_pointer(&mounts);
	return 0;
}

int mounts_read(const char *file, struct mounts **ret_mounts, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = open(file, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;
	int r;

	if (fd < 0)
		return report(error, -errno, "cannot open the list of mounts, '%s': %s", file, error_text(-errno));
	r = read_all(fd, MOUNTINFO_MAX, &text, NULL);
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
