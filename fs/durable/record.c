/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Struct to JSON and back (record_json.h), a pair of functions per record. That of a layer is in
 * record_layer.c.
 */
#include "record.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "record_json.h"

#define INTENT_ENTRIES_MAX 256

static const char *const fate_names[] = {
	[FATE_DISCARD] = "nothing",         [FATE_LEFTOVER] = "leftover", [FATE_ARMED] = "armed",
	[FATE_UNCOMMITTED] = "uncommitted", [FATE_UNHOOKED] = "unhooked", [FATE_UNDECIDED] = "undecided",
	[FATE_SNAPSHOT] = "snapshot",       [FATE_EDITED] = "edited",     [FATE_UNSYNCED] = "unsynced",
};

static const char *const format_names[] = { [FORMAT_RAW] = "raw", [FORMAT_QCOW2] = "qcow2" };

const char *fate_name(enum fate fate)
{
	return fate_names[fate];
}

uint64_t record_revisions(const struct disk_record *record)
{
	return record->domain_revisions_set ? record->domain_revisions : record->keep_revisions;
}

const char *format_name(enum image_format format)
{
	return format_names[format];
}

void record_new_id(char id[LAYER_ID_SIZE])
{
	uint64_t random;

	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	snprintf(id, LAYER_ID_SIZE, "%016llx", (unsigned long long)random);
}

int format_parse(const char *name, enum image_format *ret_format)
{
	int i = record_find_name(name, format_names, ARRAY_SIZE(format_names));

	if (i >= 0)
		*ret_format = (enum image_format)i;
	return i < 0 ? i : 0;
}

enum image_format record_read_format(struct record_reader *reader)
{
	return (enum image_format)record_read_choice(reader, "format", format_names, ARRAY_SIZE(format_names));
}

bool layer_id_is_valid(const char *id)
{
	return strlen(id) == LAYER_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == LAYER_ID_SIZE - 1;
}

bool uuid_is_valid(const char *uuid)
{
	for (size_t i = 0; i < UUID_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' : !isxdigit((unsigned char)uuid[i]))
			return false;
	}
	return uuid[UUID_SIZE - 1] == '\0';
}

bool snapshot_name_is_valid(const char *name)
{
	return name[0] && strlen(name) <= SNAPSHOT_NAME_MAX && text_is_clean(name) && !strchr(name, '/');
}

/* --- disks ------------------------------------------------------------------------------------ */

int record_load_disk(int directory, const char *file, struct disk_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct disk_record record = { 0 };
	struct record_reader reader = { 0 };
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	record_read_text(&reader, "head", record.head, sizeof(record.head), layer_id_is_valid, true);
	record_read_text(&reader, "hold", record.hold, sizeof(record.hold), layer_id_is_valid, false);
	record_read_text(&reader, "hold-uuid", record.hold_uuid, sizeof(record.hold_uuid), uuid_is_valid,
			 record.hold[0] != '\0');
	record_read_text(&reader, "hold-domain", record.hold_domain, sizeof(record.hold_domain), text_is_clean, false);
	record.hold_managed = record_read_bool(&reader, "hold-managed");
	record.fate = (enum fate)record_read_choice(&reader, "keep", fate_names, ARRAY_SIZE(fate_names));
	record.contents = record_read_u64(&reader, "contents", false);
	record_read_text(&reader, "keep-uuid", record.fate_uuid, sizeof(record.fate_uuid), uuid_is_valid, false);
	record.fate_armed = record_read_bool(&reader, "keep-armed");
	record.fate_unread = record_read_bool(&reader, "keep-unread");
	record_read_text(&reader, "snapshot-file", record.snapshot_file, sizeof(record.snapshot_file), text_is_clean,
			 false);
	record.fate_clean = record_read_bool(&reader, "keep-clean");
	record.fate_torn = record_read_bool(&reader, "keep-torn");
	record.fate_since = (time_t)record_read_u64(&reader, "keep-since", false);
	record.commit_at_release = record_read_bool(&reader, "commit-at-release");
	record_read_text(&reader, "consumed", record.consumed, sizeof(record.consumed), text_is_clean, false);
	record_read_text(&reader, "unread-uuid", record.unread_uuid, sizeof(record.unread_uuid), uuid_is_valid, false);
	record_read_text(&reader, "unread-target", record.unread_target, sizeof(record.unread_target), text_is_clean,
			 false);
	record.keep_revisions = record_read_u64(&reader, "keep-revisions", false);
	record.domain_revisions_set = record_read_bool(&reader, "domain-revisions-set");
	record.domain_revisions = record_read_u64(&reader, "domain-revisions", false);
	record.leftover_keep = record_read_bool(&reader, "leftover-keep");
	record.strict = record_read_bool(&reader, "strict");
	record.keeps_data = record_read_bool(&reader, "keeps-data");
	record.origin = record_read_name(&reader, "template");
	record.follow = record_read_bool(&reader, "follow");
	if (reader.error)
		free(record.origin);
	else
		*ret_record = record;
	return reader.error;
}

void record_clear_hold(struct disk_record *record)
{
	record->hold[0] = record->hold_uuid[0] = record->hold_domain[0] = '\0';
	record->hold_managed = false;
}

void record_clear_unread(struct disk_record *record, const char *uuid)
{
	if (strcmp(record->unread_uuid, uuid) == 0)
		record->unread_uuid[0] = record->unread_target[0] = '\0';
}

int record_save_disk(struct guard *guard, int directory, const char *file, const struct disk_record *record)
{
	CLEANUP(json_putp) struct json_object *object = record_object();

	record_set_text(object, "head", record->head);
	record_set_text(object, "hold", record->hold);
	record_set_text(object, "hold-uuid", record->hold_uuid);
	record_set_text(object, "hold-domain", record->hold_domain);
	json_set_bool(object, "hold-managed", record->hold_managed);
	json_set_string(object, "keep", fate_names[record->fate]);
	record_set_text(object, "keep-uuid", record->fate_uuid);
	json_set_bool(object, "keep-armed", record->fate_armed);
	json_set_bool(object, "keep-unread", record->fate_unread);
	record_set_text(object, "snapshot-file", record->snapshot_file);
	json_set_bool(object, "keep-clean", record->fate_clean);
	json_set_u64(object, "contents", record->contents);
	json_set_bool(object, "keep-torn", record->fate_torn);
	json_set_u64(object, "keep-since", (uint64_t)record->fate_since);
	json_set_bool(object, "commit-at-release", record->commit_at_release);
	record_set_text(object, "consumed", record->consumed);
	record_set_text(object, "unread-uuid", record->unread_uuid);
	record_set_text(object, "unread-target", record->unread_target);
	json_set_u64(object, "keep-revisions", record->keep_revisions);
	json_set_bool(object, "domain-revisions-set", record->domain_revisions_set);
	json_set_u64(object, "domain-revisions", record->domain_revisions);
	json_set_bool(object, "leftover-keep", record->leftover_keep);
	json_set_bool(object, "strict", record->strict);
	json_set_bool(object, "keeps-data", record->keeps_data);
	json_set_string(object, "template", record->origin);
	json_set_bool(object, "follow", record->follow);
	return record_file_save(guard, directory, file, object, true);
}

/* --- sessions --------------------------------------------------------------------------------- */

void record_clear_session(struct session_record *record)
{
	free(record->source);
	record->source = NULL;
}

int record_load_session(int directory, const char *file, struct session_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct session_record record = { 0 };
	struct record_reader reader = { 0 };
	const char *source = NULL;
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	record_read_text(&reader, "uuid", record.uuid, sizeof(record.uuid), uuid_is_valid, true);
	record_read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	record_read_text(&reader, "target", record.target, sizeof(record.target), text_is_clean, false);
	record_read_text(&reader, "boot", record.boot, sizeof(record.boot), text_is_clean, true);
	record.mount = record_read_u64(&reader, "mount", false);
	record.since = (time_t)record_read_u64(&reader, "since", true);
	record.armed = record_read_bool(&reader, "armed");
	record_read_text(&reader, "config", record.config, sizeof(record.config), text_is_clean, false);
	record.is_watched = record_read_bool(&reader, "watched");
	record.keeps_leftover = record_read_bool(&reader, "keeps-leftover");
	record.on_hold = record_read_bool(&reader, "on-hold");
	record.continued = record_read_bool(&reader, "continued");
	record.contents = record_read_u64(&reader, "contents", false);
	if (json_get_string(object, "source", &source) < 0)
		record_is_wrong(&reader);
	if (reader.error)
		return reader.error;
	if (source) {
		record.source = strdup(source);
		if (!record.source)
			return -ENOMEM;
	}
	*ret_record = record;
	return 0;
}

static struct json_object *describe_session(const struct session_record *record)
{
	struct json_object *object = record_object();

	record_set_text(object, "uuid", record->uuid);
	record_set_text(object, "domain", record->domain);
	record_set_text(object, "target", record->target);
	json_set_string(object, "source", record->source);
	record_set_text(object, "boot", record->boot);
	json_set_u64(object, "mount", record->mount);
	json_set_u64(object, "since", (uint64_t)record->since);
	json_set_bool(object, "armed", record->armed);
	record_set_text(object, "config", record->config);
	json_set_bool(object, "watched", record->is_watched);
	json_set_bool(object, "keeps-leftover", record->keeps_leftover);
	json_set_bool(object, "on-hold", record->on_hold);
	json_set_bool(object, "continued", record->continued);
	json_set_u64(object, "contents", record->contents);
	return object;
}

int record_save_session(struct guard *guard, int directory, const char *file, const struct session_record *record)
{
	CLEANUP(json_putp) struct json_object *object = describe_session(record);

	return record_file_save(guard, directory, file, object, false);
}

int record_sync_session(struct guard *guard, int directory, const char *file, const struct session_record *record)
{
	CLEANUP(json_putp) struct json_object *object = describe_session(record);

	return record_file_save(guard, directory, file, object, true);
}

/* --- intents ---------------------------------------------------------------------------------- */

void record_clear_intent(struct intent_record *record)
{
	for (size_t i = 0; i < record->count; i++)
		free(record->entries[i].disk);
	free(record->entries);
	record->entries = NULL;
	record->count = 0;
}

static void read_entry(struct record_reader *outer, struct json_object *object, struct intent_entry *entry)
{
	struct record_reader reader = { .object = object };

	entry->disk = record_read_name(&reader, "disk");
	record_read_text(&reader, "layer", entry->layer, sizeof(entry->layer), layer_id_is_valid, true);
	entry->hold = record_read_bool(&reader, "hold");
	if (!entry->disk)
		record_is_wrong(&reader);
	if (reader.error && !outer->error)
		outer->error = reader.error;
}

int record_load_intent(int directory, const char *file, struct intent_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(record_clear_intent) struct intent_record record = { 0 };
	struct json_object *entries = NULL;
	struct record_reader reader = { 0 };
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	record_read_text(&reader, "uuid", record.uuid, sizeof(record.uuid), uuid_is_valid, true);
	record_read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	record_read_text(&reader, "consumed", record.consumed, sizeof(record.consumed), text_is_clean, false);
	record.managed = record_read_bool(&reader, "managed");
	if (json_get_array(object, "parts", &entries) <= 0 || json_object_array_length(entries) > INTENT_ENTRIES_MAX)
		return -EBADMSG;
	record.entries = calloc(json_object_array_length(entries) + 1, sizeof(*record.entries));
	if (!record.entries)
		return -ENOMEM;
	record.count = json_object_array_length(entries);
	for (size_t i = 0; i < record.count; i++)
		read_entry(&reader, json_object_array_get_idx(entries, i), &record.entries[i]);
	if (reader.error)
		return reader.error;
	*ret_record = record;
	record = (struct intent_record){ 0 };
	return 0;
}

int record_save_intent(struct guard *guard, int directory, const char *file, const struct intent_record *record)
{
	CLEANUP(json_putp) struct json_object *object = record_object();
	struct json_object *entries = json_object_new_array();

	record_set_text(object, "uuid", record->uuid);
	record_set_text(object, "domain", record->domain);
	record_set_text(object, "consumed", record->consumed);
	json_set_bool(object, "managed", record->managed);
	for (size_t i = 0; i < record->count; i++) {
		struct json_object *entry = json_object_new_object();

		json_set_string(entry, "disk", record->entries[i].disk);
		json_set_string(entry, "layer", record->entries[i].layer);
		json_set_bool(entry, "hold", record->entries[i].hold);
		json_object_array_add(entries, entry);
	}
	json_object_object_add(object, "parts", entries);
	return record_file_save(guard, directory, file, object, true);
}

/* --- outputs ---------------------------------------------------------------------------------- */

void record_clear_output(struct output_record *record)
{
	free(record->directory);
	free(record->name);
	record->directory = record->name = NULL;
}

int record_load_output(int directory, const char *file, struct output_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(record_clear_output) struct output_record record = { 0 };
	struct record_reader reader = { 0 };
	const char *path = NULL;
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	if (json_get_string(object, "directory", &path) < 0 || (path && (path[0] != '/' || !text_is_clean(path))))
		record_is_wrong(&reader);
	record.directory = path ? strdup(path) : NULL;
	record.name = record_read_name(&reader, "name");
	record_read_text(&reader, "id", record.id, sizeof(record.id), layer_id_is_valid, true);
	record.inode = record_read_u64(&reader, "inode", false);
	record.format = record_read_format(&reader);
	if (!record.name || (path && !record.directory))
		record_is_wrong(&reader);
	if (reader.error)
		return reader.error;
	*ret_record = record;
	record = (struct output_record){ 0 };
	return 0;
}

int record_save_output(struct guard *guard, int directory, const char *file, const struct output_record *record)
{
	CLEANUP(json_putp) struct json_object *object = record_object();

	json_set_string(object, "directory", record->directory);
	json_set_string(object, "name", record->name);
	record_set_text(object, "id", record->id);
	json_set_u64(object, "inode", record->inode);
	json_set_string(object, "format", format_name(record->format));
	return record_file_save(guard, directory, file, object, true);
}
