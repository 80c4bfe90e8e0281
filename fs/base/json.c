/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A typed layer over json-c, which keeps the members of an object in the order in which they were
 * read or added.
 */
#include "json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

void json_putp(struct json_object **object)
{
	json_object_put(*object);
}

/*
 * Where the first character stands that JSON does not allow there; `length` when all are allowed.
 * json-c's strict mode still accepts single quotes, NaN, Infinity and raw newlines in strings, and
 * takes a NUL for the end of the text.
 */
static size_t find_stray(const char *text, size_t length)
{
	static const char outside[] = "{}[]:,\" \t\r\n0123456789+-.eEtrufalsn";
	bool quoted = false;

	for (size_t i = 0; i < length; i++) {
		if (!quoted && !memchr(outside, text[i], sizeof(outside) - 1))
			return i;
		if (quoted && (unsigned char)text[i] < 0x20)
			return i;
		if (text[i] == '"')
			quoted = !quoted;
		else if (quoted && text[i] == '\\' && i + 1 < length)
			i++;
	}
	return length;
}

static size_t line_of(const char *text, size_t place)
{
	size_t line = 1;

	for (size_t i = 0; i < place; i++)
		line += text[i] == '\n';
	return line;
}

int json_parse(const char *text, size_t length, struct json_object **ret_value, struct sentence *error)
{
	CLEANUP(json_putp) struct json_object *value = NULL;
	enum json_tokener_error why;
	struct json_tokener *tokener;
	size_t end;

	if (length > INT_MAX)
		return report(error, -EFBIG, "not valid JSON: too long");
	end = find_stray(text, length);
	if (end < length)
		return report(error, -EBADMSG, "not valid JSON in line %zu: unexpected character", line_of(text, end));
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tokener)
		return report(error, -ENOMEM, "out of memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* The NUL is part of what is parsed: it ends a number that stands alone. */
	value = json_tokener_parse_ex(tokener, text, (int)length + 1);
	why = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	if (why == json_tokener_continue)
		return report(error, -EBADMSG, "not valid JSON: it ends too early");
	if (why != json_tokener_success)
		return report(error, -EBADMSG, "not valid JSON in line %zu: %s",
			      line_of(text, end < length ? end : length), json_tokener_error_desc(why));
	*ret_value = steal_pointer(&value);
	return 0;
}

static int get_member(struct json_object *object, const char *key, enum json_type type, struct json_object **ret_member)
{
	struct json_object *member;

	if (!json_object_is_type(object, json_type_object))
		return -EBADMSG;
	if (!json_object_object_get_ex(object, key, &member) || !member)
		return 0;
	if (!json_object_is_type(member, type))
		return -EBADMSG;
	*ret_member = member;
	return 1;
}

int json_get_string(struct json_object *object, const char *key, const char **ret_value)
{
	struct json_object *member = NULL;
	int r = get_member(object, key, json_type_string, &member);

	if (r <= 0)
		return r;
	/* A string with a NUL inside would be read as a shorter one. */
	if (strlen(json_object_get_string(member)) != (size_t)json_object_get_string_len(member))
		return -EBADMSG;
	*ret_value = json_object_get_string(member);
	return 1;
}

int json_get_bool(struct json_object *object, const char *key, bool *ret_value)
{
	struct json_object *member = NULL;
	int r = get_member(object, key, json_type_boolean, &member);

	if (r > 0)
		*ret_value = json_object_get_boolean(member);
	return r;
}

int json_get_u64(struct json_object *object, const char *key, uint64_t *ret_value)
{
	struct json_object *member = NULL;
	int r = get_member(object, key, json_type_int, &member);

	if (r <= 0)
		return r;
	if (json_object_get_int64(member) < 0)
		return -EBADMSG;
	*ret_value = json_object_get_uint64(member);
	return 1;
}

int json_get_array(struct json_object *object, const char *key, struct json_object **ret_array)
{
	return get_member(object, key, json_type_array, ret_array);
}

int json_get_object(struct json_object *object, const char *key, struct json_object **ret_object)
{
	return get_member(object, key, json_type_object, ret_object);
}

void json_set_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, value ? json_object_new_string(value) : NULL);
}

void json_set_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

void json_set_u64(struct json_object *object, const char *key, uint64_t value)
{
	json_object_object_add(object, key, json_object_new_uint64(value));
}
