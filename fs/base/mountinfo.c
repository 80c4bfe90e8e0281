/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line is "36 35 0:32 / /mnt rw,nosuid shared:1 - fuse.revertfs /images rw": the five fields of
 * enum field, options, any number of optional fields, a dash, and three fields more. Blanks in a
 * field are escaped, so the first " - " is that dash.
 */
#include "mountinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

#define MOUNTINFO_MAX (64 << 20)
#define FDINFO_MAX 4096

enum field { FIELD_ID, FIELD_PARENT, FIELD_DEVICE, FIELD_ROOT, FIELD_POINT, FIELDS };

int mountinfo_read(const char *file, char **ret_text)
{
	CLEANUP(close_fdp) int fd = open(file, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_all(fd, MOUNTINFO_MAX, ret_text, NULL);
}

static bool is_octal(const char *p)
{
	return p[0] >= '0' && p[0] <= '3' && p[1] >= '0' && p[1] <= '7' && p[2] >= '0' && p[2] <= '7';
}

/* The kernel writes blanks, newlines, backslashes and '#' as \ooo. Undone in place. */
static char *undo_escapes(char *text)
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
	return text;
}

static bool parse_line(char *line, struct mountinfo *ret_mount)
{
	char *fields[FIELDS], *type, *source, *options, *rest = NULL, *p = line;
	char *separator = strstr(line, " - ");

	if (!separator)
		return false;
	*separator = '\0';
	for (int i = 0; i < FIELDS; i++) {
		fields[i] = strsep(&p, " ");
		if (!fields[i])
			return false;
	}
	type = strtok_r(separator + 3, " ", &rest);
	source = type ? strtok_r(NULL, " ", &rest) : NULL;
	options = source ? strtok_r(NULL, " ", &rest) : NULL;
	if (!source)
		return false;
	*ret_mount = (struct mountinfo){
		.id = atoi(fields[FIELD_ID]),
		.device = fields[FIELD_DEVICE],
		.root = undo_escapes(fields[FIELD_ROOT]),
		.point = undo_escapes(fields[FIELD_POINT]),
		.type = type,
		.source = undo_escapes(source),
		.options = options ? options : "",
	};
	return true;
}

bool mountinfo_next(char **cursor, struct mountinfo *ret_mount)
{
	char *line;

	while ((line = strsep(cursor, "\n")))
		if (parse_line(line, ret_mount))
			return true;
	return false;
}

dev_t mountinfo_device(const struct mountinfo *mount)
{
	unsigned major, minor;

	return sscanf(mount->device, "%u:%u", &major, &minor) == 2 ? makedev(major, minor) : 0;
}

int mountinfo_server(char *text, int id, uid_t *ret_server)
{
	struct mountinfo mount;
	char *cursor = text;

	while (mountinfo_next(&cursor, &mount)) {
		const char *user = strncmp(mount.type, "fuse", 4) == 0 ? strstr(mount.options, ",user_id=") : NULL;

		if (mount.id != id)
			continue;
		*ret_server = user ? (uid_t)strtoul(user + strlen(",user_id="), NULL, 10) : 0;
		return 0;
	}
	return -ESTALE;
}

/* Of the descriptor itself, so that another mount at the same place is not taken for it. */
static int mount_of(int fd, int *ret_id)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(close_fdp) int info = -1;
	const char *line;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	r = info < 0 ? -errno : read_all(info, FDINFO_MAX, &text, NULL);
	if (r < 0)
		return r;
	line = text ? strstr(text, "mnt_id:") : NULL;
	return line && sscanf(line, "mnt_id: %d", ret_id) == 1 ? 0 : -EIO;
}

int mountinfo_server_of(int fd, uid_t *ret_server)
{
	CLEANUP(freep) char *text = NULL;
	int id = 0, r = mount_of(fd, &id);

	if (r == 0)
		r = mountinfo_read(MOUNTINFO_FILE, &text);
	return r < 0 ? r : mountinfo_server(text, id, ret_server);
}

int mountinfo_find(const char *path, dev_t *ret_device, bool *ret_ours)
{
	CLEANUP(freep) char *text = NULL;
	struct mountinfo mount;
	bool found = false;
	char *cursor;
	int r = mountinfo_read(MOUNTINFO_FILE, &text);

	if (r < 0)
		return r;
	cursor = text;
	while (mountinfo_next(&cursor, &mount)) {
		if (strcmp(mount.point, path) != 0)
			continue;
		found = true;
		*ret_device = mountinfo_device(&mount);
		*ret_ours = strcmp(mount.type, MOUNTINFO_REVERTFS) == 0;
	}
	return found ? 0 : -ENOENT;
}
