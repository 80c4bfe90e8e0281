/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "status_json.h"

const char *string_of(struct json_object *object, const char *key, const char *otherwise)
{
	const char *value = NULL;

	return object && json_get_string(object, key, &value) > 0 ? value : otherwise;
}

uint64_t number_of(struct json_object *object, const char *key)
{
	uint64_t value = 0;

	if (object)
		json_get_u64(object, key, &value);
	return value;
}

bool flag_of(struct json_object *object, const char *key)
{
	bool value = false;

	if (object)
		json_get_bool(object, key, &value);
	return value;
}

struct json_object *object_of(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	if (object)
		json_get_object(object, key, &value);
	return value;
}

struct json_object *element_of(struct json_object *object, const char *key, size_t index)
{
	struct json_object *array = NULL;

	if (object)
		json_get_array(object, key, &array);
	return array && index < json_object_array_length(array) ? json_object_array_get_idx(array, index) : NULL;
}

const char *disk_state(struct json_object *disk)
{
	return object_of(disk, "hold") ? "held" : string_of(disk, "state", "?");
}
