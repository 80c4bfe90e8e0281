/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "status_json.h"

#include <errno.h>
#include <string.h>

#include "shown.h"

static int clean_text(struct json_object *text)
{
	const char *raw = json_object_get_string(text);
	CLEANUP(freep) char *shown = NULL;

	if (text_is_clean(raw))
		return 0;
	shown = strdup(raw);
	if (!shown)
		return -ENOMEM;
	shown_text(raw, shown, strlen(raw) + 1);
	return json_object_set_string(text, shown) ? 0 : -ENOMEM;
}

/* json_parse() has bounded the nesting. */
static int clean_texts(struct json_object *value)
{
	int r = 0;

	if (json_object_is_type(value, json_type_string))
		return clean_text(value);
	if (json_object_is_type(value, json_type_array))
		for (size_t i = 0; i < json_object_array_length(value) && r == 0; i++)
			r = clean_texts(json_object_array_get_idx(value, i));
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach (value, key, member) {
			(void)key;
			r = r < 0 ? r : clean_texts(member);
		}
	}
	return r;
}

int answer_parse(const char *text, struct json_object **ret_answer)
{
	CLEANUP(json_putp) struct json_object *answer = NULL;
	int r = json_parse(text, strlen(text), &answer, NULL);

	if (r == 0)
		r = clean_texts(answer);
	if (r == 0)
		*ret_answer = steal_pointer(&answer);
	return r;
}

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

bool disk_keeps_data(struct json_object *disk)
{
	struct json_object *properties = object_of(disk, "properties");
	bool reverts = true;

	if (properties)
		json_get_bool(properties, "reverts", &reverts);
	return !reverts;
}
