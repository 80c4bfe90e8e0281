/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Members of a daemon's status.json or answer, or a harmless value for a member that is not there:
 * the daemon may be newer or older than this program. What is returned belongs to the object. An
 * object may be NULL.
 */
#ifndef REVERTFS_CTL_DAEMON_STATUS_JSON_H
#define REVERTFS_CTL_DAEMON_STATUS_JSON_H

#include "json.h"

/*
 * Parse what a daemon sent, NUL-terminated. Texts in it are shown to people: control characters, of
 * which a terminal could take orders, become '?'. 0 or a negative errno. Release with json_putp().
 */
int answer_parse(const char *text, struct json_object **ret_answer);

const char *string_of(struct json_object *object, const char *key, const char *otherwise);
uint64_t number_of(struct json_object *object, const char *key);            /* 0 */
bool flag_of(struct json_object *object, const char *key);                  /* false */
struct json_object *object_of(struct json_object *object, const char *key); /* NULL */

/* An element of the array with this key; NULL behind the last one. */
struct json_object *element_of(struct json_object *object, const char *key, size_t index);

/* A disk's state: "dirty" and the like; "held" where the state of a saved guest stands on it. */
const char *disk_state(struct json_object *disk);

/* Whether it does not revert: reverts=no. */
bool disk_keeps_data(struct json_object *disk);

#endif
