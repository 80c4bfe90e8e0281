/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A record as JSON in a file: what record.c, record_layer.c and span.c have in common. Reading
 * goes through a small cursor that remembers the first thing that was wrong, so that each record's
 * reader is a list of its members.
 */
#ifndef REVERTFS_DURABLE_RECORD_JSON_H
#define REVERTFS_DURABLE_RECORD_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard.h"
#include "json.h"
#include "record.h"
#include "util.h"

struct record_reader {
	struct json_object *object;
	int error; /* of the first member that was wrong, or 0 */
};

void record_is_wrong(struct record_reader *reader);

/* A text of a bounded size that passes `check`. "" where it is absent, unless it is required. */
void record_read_text(struct record_reader *reader, const char *key, char *buffer, size_t size,
		      bool (*check)(const char *), bool required);

/* A relative name, to be freed; NULL where it is absent. */
char *record_read_name(struct record_reader *reader, const char *key);
bool record_read_bool(struct record_reader *reader, const char *key);
uint64_t record_read_u64(struct record_reader *reader, const char *key, bool required);

/* The index of the member among the names; 0 where it is wrong. */
int record_read_choice(struct record_reader *reader, const char *key, const char *const *names, size_t count);
enum image_format record_read_format(struct record_reader *reader);             /* of the member "format" */
int record_find_name(const char *name, const char *const *names, size_t count); /* -EINVAL */

/*
 * The file's object, to be put. -ENOENT; -EBADMSG where it cannot be trusted; or another errno.
 * Blocks for the medium.
 */
int record_file_load(int directory, const char *file, struct json_object **ret_object);

/* An object with the version in it, or NULL; a text is left out where it is "". */
struct json_object *record_object(void);
void record_set_text(struct json_object *object, const char *key, const char *value);

/*
 * Replace the file, where the guard (NULL: there is none) says that the state is still ours. With
 * `durable` it is on the medium on return. -ENOMEM where `object` is NULL.
 */
int record_file_save(struct guard *guard, int directory, const char *file, struct json_object *object, bool durable);

#endif
