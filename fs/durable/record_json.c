/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "record_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"
#include "json.h"

#define RECORD_SIZE_MAX (256 * 1024)
#define RECORD_VERSION 1

int record_find_name(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

/* --- reading ---------------------------------------------------------------------------------- */

void record_is_wrong(struct record_reader *reader)
{
	if (!reader->error)
		reader->error = -EBADMSG;
}

void record_read_text(struct record_reader *reader, const char *key, char *buffer, size_t size,
		      bool (*check)(const char *), bool required)
{
	const char *value = NULL;
	int r = json_get_string(reader->object, key, &value);

	buffer[0] = '\0';
	if (r < 0 || (r == 0 && required)) {
		record_is_wrong(reader);
	} else if (r > 0) {
		if (strlen(value) >= size || !check(value))
			record_is_wrong(reader);
		else
			strcpy(buffer, value);
	}
}

char *record_read_name(struct record_reader *reader, const char *key)
{
	const char *value = NULL;
	int r = json_get_string(reader->object, key, &value);
	char *copy;

	if (r == 0)
		return NULL;
	if (r < 0 || check_relative_name(value) < 0) {
		record_is_wrong(reader);
		return NULL;
	}
	copy = strdup(value);
	if (!copy)
		reader->error = -ENOMEM;
	return copy;
}

bool record_read_bool(struct record_reader *reader, const char *key)
{
	bool value = false;

	if (json_get_bool(reader->object, key, &value) < 0)
		record_is_wrong(reader);
	return value;
}

uint64_t record_read_u64(struct record_reader *reader, const char *key, bool required)
{
	uint64_t value = 0;
	int r = json_get_u64(reader->object, key, &value);

	if (r < 0 || (r == 0 && required))
		record_is_wrong(reader);
	return value;
}

int record_read_choice(struct record_reader *reader, const char *key, const char *const *names, size_t count)
{
	const char *value = NULL;
	int i = json_get_string(reader->object, key, &value) > 0 ? record_find_name(value, names, count) : -EINVAL;

	if (i < 0)
		record_is_wrong(reader);
	return i < 0 ? 0 : i;
}

int record_file_load(int directory, const char *file, struct json_object **ret_object)
{
	CLEANUP(close_fdp) int fd = io_open_file(directory, file, O_RDONLY);
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(freep) char *text = NULL;
	uint64_t version;
	size_t length;
	int r;

	if (fd < 0)
		return fd;
	r = read_all(fd, RECORD_SIZE_MAX, &text, &length);
	if (r == 0)
		r = json_parse(text, length, &object, NULL);
	if (r == 0 && (json_get_u64(object, "version", &version) <= 0 || version != RECORD_VERSION))
		r = -EBADMSG;
	if (r == 0)
		*ret_object = steal_pointer(&object);
	return r == -EFBIG ? -EBADMSG : r;
}

/* --- writing ---------------------------------------------------------------------------------- */

struct json_object *record_object(void)
{
	struct json_object *object = json_object_new_object();

	if (object)
		json_set_u64(object, "version", RECORD_VERSION);
	return object;
}

void record_set_text(struct json_object *object, const char *key, const char *value)
{
	json_set_string(object, key, value[0] ? value : NULL);
}

int record_file_save(struct guard *guard, int directory, const char *file, struct json_object *object, bool durable)
{
	CLEANUP(freep) char *text = NULL;
	int r = guard ? guard_check(guard) : 0;

	if (r < 0)
		return r;
	if (!object)
		return -ENOMEM;
	text = format_text("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
										  JSON_C_TO_STRING_NOSLASHESCAPE));
	return text ? io_replace(directory, file, text, strlen(text), durable) : -ENOMEM;
}
