/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * json-c reads JSON, but writes it in its own way: 1.50 becomes 1.5, a large number a wrong one,
 * and the layout is gone. An administrator's file must not change so, therefore the place of a
 * value is found in the text itself. The text is known to be valid; still nothing here reads past
 * its NUL.
 */
#include "json_edit.h"

#include <stdbool.h>
#include <string.h>

#include "json.h"

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Skip from the opening quote to behind the closing one. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

static const char *skip_scalar(const char *p)
{
	return p + strcspn(p, " \t\r\n,]}");
}

const char *json_end(const char *value)
{
	const char *p = value;
	size_t depth = 0;

	do {
		p = skip_blanks(p);
		if (*p == '"') {
			p = skip_string(p);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			depth--;
			p++;
		} else if (*p == ',' || *p == ':') {
			p++;
		} else {
			p = skip_scalar(p);
		}
	} while (depth && *p);
	return p;
}

/* Keys may be written with escapes. */
static bool is_key(const char *string, const char *key)
{
	CLEANUP(json_putp) struct json_object *parsed = NULL;
	size_t length = (size_t)(skip_string(string) - string);
	CLEANUP(freep) char *copy = strndup(string, length);

	return copy && json_parse(copy, length, &parsed, NULL) == 0 && json_object_is_type(parsed, json_type_string) &&
	       strcmp(json_object_get_string(parsed), key) == 0;
}

const char *json_member(const char *value, const char *key)
{
	const char *p = skip_blanks(value), *found = NULL;

	if (*p != '{')
		return NULL;
	for (p = skip_blanks(p + 1); *p == '"'; p = skip_blanks(p + 1)) {
		const char *name = p;

		p = skip_blanks(skip_string(p));
		if (*p != ':')
			return NULL;
		p = skip_blanks(p + 1);
		if (is_key(name, key))
			found = p;
		p = skip_blanks(json_end(p));
		if (*p != ',')
			break;
	}
	return found;
}

const char *json_element(const char *value, size_t index)
{
	const char *p = skip_blanks(value);

	if (*p != '[')
		return NULL;
	p = skip_blanks(p + 1);
	for (; index && *p && *p != ']'; index--) {
		p = skip_blanks(json_end(p));
		if (*p != ',')
			return NULL;
		p = skip_blanks(p + 1);
	}
	return *p && *p != ']' ? p : NULL;
}
