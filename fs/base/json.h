/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON as all the programs need it: strict, bounded parsing, and typed reading of members.
 *
 * Every text may be hostile or torn by a crash: the caller bounds its length, JSON_DEPTH_MAX its
 * nesting, and a member of another type than asked for is an error, never converted.
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
 * Parse one JSON value, followed by nothing but white space. `text` has a NUL after its `length`
 * bytes, as read_all() leaves it. 0, -EBADMSG with a sentence that names the line of the mistake,
 * -EFBIG or -ENOMEM. Free the value with json_putp().
 */
int json_parse(const char *text, size_t length, struct json_object **ret_value, struct sentence *error);

/*
 * Read a member of an object. 1 when found, 0 when absent or null (the output is then untouched),
 * -EBADMSG when the member has another type, a number is negative, a string holds a NUL, or
 * `object` is no object. What is returned is borrowed from the object.
 */
int json_get_string(struct json_object *object, const char *key, const char **ret_value);
int json_get_bool(struct json_object *object, const char *key, bool *ret_value);
int json_get_u64(struct json_object *object, const char *key, uint64_t *ret_value);
int json_get_array(struct json_object *object, const char *key, struct json_object **ret_array);
int json_get_object(struct json_object *object, const char *key, struct json_object **ret_object);

/*
 * Add a member, in the place of one with the same key; a NULL string becomes null. Where memory
 * runs out the member is absent or null, and no error is reported: its reader finds out.
 */
void json_set_string(struct json_object *object, const char *key, const char *value);
void json_set_bool(struct json_object *object, const char *key, bool value);
void json_set_u64(struct json_object *object, const char *key, uint64_t value);

#endif
