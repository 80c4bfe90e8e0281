/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON as both programs need it: strict, bounded parsing, and typed reading of members.
 *
 * Everything read here may be hostile or torn by a crash: texts are bounded by the caller, nesting
 * by JSON_DEPTH_MAX, and a member of another type than asked for is an error, never converted.
 */
#ifndef REVERTFS_BASE_JSON_H
#define REVERTFS_BASE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "util.h"

#define JSON_DEPTH_MAX 32

/* For CLEANUP(). */
void json_putp(struct json_object **object);

/*
 * One JSON value and nothing after it but white space. -EBADMSG with a sentence that says where it
 * went wrong. `text` has a NUL after its `length` bytes, as read_all() leaves it.
 */
int json_parse(const char *text, size_t length, struct json_object **ret_value, struct sentence *error);

/*
 * A member of an object. 1 when found, 0 when absent or null (the output is then untouched),
 * -EBADMSG when it has another type or (numbers) another range. Strings are borrowed from the
 * object.
 */
int json_get_string(struct json_object *object, const char *key, const char **ret_value);
int json_get_bool(struct json_object *object, const char *key, bool *ret_value);
int json_get_u64(struct json_object *object, const char *key, uint64_t *ret_value);
int json_get_array(struct json_object *object, const char *key, struct json_object **ret_array);
int json_get_object(struct json_object *object, const char *key, struct json_object **ret_object);

/*
 * Add a member; a NULL string becomes null. The object owns what is added. Out of memory loses the
 * member: the caller sees it when json_text() fails or a reader misses the member.
 */
void json_set_string(struct json_object *object, const char *key, const char *value);
void json_set_bool(struct json_object *object, const char *key, bool value);
void json_set_u64(struct json_object *object, const char *key, uint64_t value);

#endif
