/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *   MARK_XATTR         "STATE FILE", two times 16 digits
 *   MARK_WHERE_XATTR   JSON: state, host, path; of another state than MARK_XATTR it means nothing
 *   mark-FILE.json     JSON: all of it. It is named by the identity, for an image may be moved
 *
 * MARK_WHERE_XATTR comes after the other and goes before it, so that it is never alone.
 */
#include "mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "io.h"
#include "json.h"
#include "private.h"

#define MARK_SIZE_MAX 4096
#define NEW_SUFFIX ".new" /* io_replace() */
#define FILE_NAME_SIZE 64
#define TEXT_SIZE (LAYER_ID_SIZE + MARK_FILE_SIZE) /* of MARK_XATTR, with a NUL */

void mark_name_file(const char *identity, char file[MARK_FILE_SIZE])
{
	snprintf(file, MARK_FILE_SIZE, "%016llx", (unsigned long long)text_hash(identity));
}

bool mark_is_xattr(const char *name)
{
	return strcmp(name, MARK_XATTR) == 0 || strcmp(name, MARK_WHERE_XATTR) == 0;
}

static void file_name(const char *file, char name[FILE_NAME_SIZE])
{
	snprintf(name, FILE_NAME_SIZE, "mark-%s.json", file);
}

/* --- the text --------------------------------------------------------------------------------- */

static bool take_text(struct json_object *object, const char *key, char *buffer, size_t size)
{
	const char *value = "";

	if (json_get_string(object, key, &value) < 0 || strlen(value) >= size || !text_is_clean(value))
		return false;
	strcpy(buffer, value);
	return true;
}

static int parse(const char *text, size_t length, struct mark *ret_mark)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct sentence ignored;
	struct mark mark;
	int r = json_parse(text, length, &object, &ignored);

	if (r == -ENOMEM)
		return r;
	if (r < 0 || !take_text(object, "state", mark.state, sizeof(mark.state)) ||
	    !take_text(object, "file", mark.file, sizeof(mark.file)) ||
	    !take_text(object, "host", mark.host, sizeof(mark.host)) ||
	    !take_text(object, "path", mark.path, sizeof(mark.path)) || !layer_id_is_valid(mark.state))
		return -EBADMSG;
	*ret_mark = mark;
	return 0;
}

/* The caller frees it; NULL when out of memory. */
static char *describe(const struct mark *mark, bool whole)
{
	CLEANUP(json_putp) struct json_object *object = json_object_new_object();

	json_set_string(object, "state", mark->state);
	if (whole)
		json_set_string(object, "file", mark->file);
	json_set_string(object, "host", mark->host);
	json_set_string(object, "path", mark->path);
	return format_text(
		"%s", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Not where it is another state's, which an older mark has left behind. */
static void read_where(int fd, struct mark *mark)
{
	char text[MARK_SIZE_MAX + 1];
	struct mark found;
	ssize_t n = file_get_xattr(fd, MARK_WHERE_XATTR, text, MARK_SIZE_MAX);

	if (n < 0)
		return;
	text[n] = '\0';
	if (parse(text, (size_t)n, &found) < 0 || strcmp(found.state, mark->state) != 0)
		return;
	strcpy(mark->host, found.host);
	strcpy(mark->path, found.path);
}

/* 1, 0 or an error. */
static int read_xattr(int fd, struct mark *ret_mark)
{
	char text[TEXT_SIZE + 1];
	struct mark mark = { 0 };
	ssize_t n = file_get_xattr(fd, MARK_XATTR, text, TEXT_SIZE);

	if (n == -ENODATA || n == -EOPNOTSUPP || n == -EPERM || n == -EACCES)
		return 0;
	if (n < 0)
		return n == -ERANGE ? -EBADMSG : (int)n;
	text[n] = '\0';
	if (n != TEXT_SIZE - 1 || text[LAYER_ID_SIZE - 1] != ' ')
		return -EBADMSG;
	memcpy(mark.state, text, LAYER_ID_SIZE - 1);
	memcpy(mark.file, text + LAYER_ID_SIZE, MARK_FILE_SIZE - 1);
	if (!layer_id_is_valid(mark.state) || !layer_id_is_valid(mark.file))
		return -EBADMSG;
	read_where(fd, &mark);
	*ret_mark = mark;
	return 1;
}

static int read_file(int images_fd, const char *file, struct mark *ret_mark)
{
	CLEANUP(close_fdp) int directory = private_directory(images_fd, false), fd = -1;
	CLEANUP(freep) char *text = NULL;
	char name[FILE_NAME_SIZE];
	size_t length;
	int r;

	if (directory < 0)
		return directory == -ENOENT || directory == -EPERM ? 0 : directory;
	file_name(file, name);
	fd = io_open_file(directory, name, O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = read_all(fd, MARK_SIZE_MAX, &text, &length);
	if (r == 0)
		r = parse(text, length, ret_mark);
	if (r < 0)
		return r == -EFBIG ? -EBADMSG : r;
	return strcmp(ret_mark->file, file) == 0 ? 1 : -EBADMSG;
}

int mark_read(int images_fd, int fd, const char *file, struct mark *ret_mark, bool *ret_copied)
{
	int r = read_xattr(fd, ret_mark);

	*ret_copied = r == 1 && strcmp(ret_mark->file, file) != 0;
	return r < 0 || (r == 1 && !*ret_copied) ? r : read_file(images_fd, file, ret_mark);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Whether another place may do: what the filesystem, or this file's attributes, do not let in. */
static bool wants_a_file(int error)
{
	return error == -EOPNOTSUPP || error == -EPERM || error == -EACCES || error == -ENOSPC || error == -E2BIG ||
	       error == -ERANGE;
}

/* The directory may be new, so its name is synced as well. */
static int write_file(int images_fd, const struct mark *mark)
{
	CLEANUP(close_fdp) int directory = private_directory(images_fd, true);
	CLEANUP(freep) char *text = describe(mark, true);
	char name[FILE_NAME_SIZE];
	int r;

	if (!text)
		return -ENOMEM;
	if (directory < 0)
		return directory == -EACCES || directory == -EOPNOTSUPP ? -EPERM : directory;
	file_name(mark->file, name);
	r = io_replace(directory, name, text, strlen(text), true);
	return r == 0 ? io_sync_directory(images_fd) : r;
}

int mark_write(int images_fd, int fd, const struct mark *mark)
{
	CLEANUP(freep) char *where = describe(mark, false);
	char text[TEXT_SIZE];
	int r;

	snprintf(text, sizeof(text), "%s %s", mark->state, mark->file);
	r = where ? io_set_xattr(fd, MARK_XATTR, text, strlen(text)) : -ENOMEM;
	if (wants_a_file(r))
		return write_file(images_fd, mark);
	if (r < 0)
		return r;
	io_set_xattr(fd, MARK_WHERE_XATTR, where, strlen(where)); /* if there is room */
	return io_sync(fd);
}

static int remove_xattr(int fd, const char *name)
{
	return file_get_xattr(fd, name, NULL, 0) >= 0 ? io_remove_xattr(fd, name) : 0;
}

static int remove_name(int directory, const char *name)
{
	return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? io_unlink(directory, name) : 0;
}

/* With what a crash has left of the writing of it. */
static int remove_file(int images_fd, const char *file)
{
	CLEANUP(close_fdp) int directory = private_directory(images_fd, false);
	char name[FILE_NAME_SIZE], new_name[FILE_NAME_SIZE + sizeof(NEW_SUFFIX)];
	int r;

	if (directory < 0)
		return directory == -ENOENT || directory == -EPERM ? 0 : directory;
	file_name(file, name);
	snprintf(new_name, sizeof(new_name), "%s" NEW_SUFFIX, name);
	r = remove_name(directory, name);
	return r == 0 ? remove_name(directory, new_name) : r;
}

int mark_remove(int images_fd, int fd, const char *file)
{
	int r = remove_xattr(fd, MARK_WHERE_XATTR), removed;

	if (r == 0)
		r = remove_xattr(fd, MARK_XATTR);
	removed = remove_file(images_fd, file);
	return r < 0 ? r : removed;
}
