/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Struct to JSON and back, a pair of functions per record. Reading goes through a small cursor that
 * remembers the first thing that was wrong, so that each record's reader is a list of its members.
 */
#include "record.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "io.h"
#include "json.h"

#define RECORD_SIZE_MAX (256 * 1024)
#define RECORD_VERSION 1
#define INTENT_ENTRIES_MAX 256

static const char *const fate_names[] = {
	[FATE_DISCARD] = "nothing",         [FATE_LEFTOVER] = "leftover", [FATE_ARMED] = "armed",
	[FATE_UNCOMMITTED] = "uncommitted", [FATE_UNHOOKED] = "unhooked", [FATE_UNDECIDED] = "undecided",
	[FATE_SNAPSHOT] = "snapshot",       [FATE_EDITED] = "edited",     [FATE_UNSYNCED] = "unsynced",
};

static const char *const format_names[] = { [FORMAT_RAW] = "raw", [FORMAT_QCOW2] = "qcow2" };
static const char *const trouble_names[] = {
	[TROUBLE_NONE] = "none", [TROUBLE_CORRUPT] = "corrupt", [TROUBLE_BITMAP] = "bitmap"
};
static const char *const state_names[] = { [LAYER_SEALED] = "sealed", [LAYER_FOLDING] = "folding" };

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

static int find_name(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

int format_parse(const char *name, enum image_format *ret_format)
{
	int i = find_name(name, format_names, ARRAY_SIZE(format_names));

	if (i >= 0)
		*ret_format = (enum image_format)i;
	return i < 0 ? i : 0;
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

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
	struct json_object *object;
	int error; /* of the first member that was wrong, or 0 */
};

static void wrong(struct reader *reader)
{
	if (!reader->error)
		reader->error = -EBADMSG;
}

/* A text of a bounded size that passes `check`. "" where it is absent, unless it is required. */
static void read_text(struct reader *reader, const char *key, char *buffer, size_t size, bool (*check)(const char *),
		      bool required)
{
	const char *value = NULL;
	int r = json_get_string(reader->object, key, &value);

	buffer[0] = '\0';
	if (r < 0 || (r == 0 && required)) {
		wrong(reader);
	} else if (r > 0) {
		if (strlen(value) >= size || !check(value))
			wrong(reader);
		else
			strcpy(buffer, value);
	}
}

static char *read_name(struct reader *reader, const char *key)
{
	const char *value = NULL;
	int r = json_get_string(reader->object, key, &value);
	char *copy;

	if (r == 0)
		return NULL;
	if (r < 0 || check_relative_name(value) < 0) {
		wrong(reader);
		return NULL;
	}
	copy = strdup(value);
	if (!copy)
		reader->error = -ENOMEM;
	return copy;
}

static bool read_bool(struct reader *reader, const char *key)
{
	bool value = false;

	if (json_get_bool(reader->object, key, &value) < 0)
		wrong(reader);
	return value;
}

static uint64_t read_u64(struct reader *reader, const char *key, bool required)
{
	uint64_t value = 0;
	int r = json_get_u64(reader->object, key, &value);

	if (r < 0 || (r == 0 && required))
		wrong(reader);
	return value;
}

static int read_choice(struct reader *reader, const char *key, const char *const *names, size_t count)
{
	const char *value = NULL;
	int i = json_get_string(reader->object, key, &value) > 0 ? find_name(value, names, count) : -EINVAL;

	if (i < 0)
		wrong(reader);
	return i < 0 ? 0 : i;
}

static int load(int directory, const char *file, struct json_object **ret_object)
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

static struct json_object *new_record(void)
{
	struct json_object *object = json_object_new_object();

	if (object)
		json_set_u64(object, "version", RECORD_VERSION);
	return object;
}

static void set_text(struct json_object *object, const char *key, const char *value)
{
	json_set_string(object, key, value[0] ? value : NULL);
}

static int save(struct guard *guard, int directory, const char *file, struct json_object *object, bool durable)
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

/* --- disks ------------------------------------------------------------------------------------ */

int record_load_disk(int directory, const char *file, struct disk_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct disk_record record = { 0 };
	struct reader reader = { 0 };
	int r = load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	read_text(&reader, "head", record.head, sizeof(record.head), layer_id_is_valid, true);
	read_text(&reader, "hold", record.hold, sizeof(record.hold), layer_id_is_valid, false);
	read_text(&reader, "hold-uuid", record.hold_uuid, sizeof(record.hold_uuid), uuid_is_valid,
		  record.hold[0] != '\0');
	read_text(&reader, "hold-domain", record.hold_domain, sizeof(record.hold_domain), text_is_clean, false);
	record.hold_managed = read_bool(&reader, "hold-managed");
	record.fate = (enum fate)read_choice(&reader, "keep", fate_names, ARRAY_SIZE(fate_names));
	record.contents = read_u64(&reader, "contents", false);
	read_text(&reader, "keep-uuid", record.fate_uuid, sizeof(record.fate_uuid), uuid_is_valid, false);
	record.fate_armed = read_bool(&reader, "keep-armed");
	record.fate_torn = read_bool(&reader, "keep-torn");
	record.fate_since = (time_t)read_u64(&reader, "keep-since", false);
	record.commit_at_release = read_bool(&reader, "commit-at-release");
	read_text(&reader, "consumed", record.consumed, sizeof(record.consumed), text_is_clean, false);
	record.keep_revisions = read_u64(&reader, "keep-revisions", false);
	record.domain_revisions_set = read_bool(&reader, "domain-revisions-set");
	record.domain_revisions = read_u64(&reader, "domain-revisions", false);
	record.leftover_keep = read_bool(&reader, "leftover-keep");
	record.strict = read_bool(&reader, "strict");
	record.origin = read_name(&reader, "template");
	record.follow = read_bool(&reader, "follow");
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

int record_save_disk(struct guard *guard, int directory, const char *file, const struct disk_record *record)
{
	CLEANUP(json_putp) struct json_object *object = new_record();

	set_text(object, "head", record->head);
	set_text(object, "hold", record->hold);
	set_text(object, "hold-uuid", record->hold_uuid);
	set_text(object, "hold-domain", record->hold_domain);
	json_set_bool(object, "hold-managed", record->hold_managed);
	json_set_string(object, "keep", fate_names[record->fate]);
	set_text(object, "keep-uuid", record->fate_uuid);
	json_set_bool(object, "keep-armed", record->fate_armed);
	json_set_u64(object, "contents", record->contents);
	json_set_bool(object, "keep-torn", record->fate_torn);
	json_set_u64(object, "keep-since", (uint64_t)record->fate_since);
	json_set_bool(object, "commit-at-release", record->commit_at_release);
	set_text(object, "consumed", record->consumed);
	json_set_u64(object, "keep-revisions", record->keep_revisions);
	json_set_bool(object, "domain-revisions-set", record->domain_revisions_set);
	json_set_u64(object, "domain-revisions", record->domain_revisions);
	json_set_bool(object, "leftover-keep", record->leftover_keep);
	json_set_bool(object, "strict", record->strict);
	json_set_string(object, "template", record->origin);
	json_set_bool(object, "follow", record->follow);
	return save(guard, directory, file, object, true);
}

/* --- layers ----------------------------------------------------------------------------------- */

void record_clear_layer(struct layer_record *record)
{
	for (size_t i = 0; i < record->name_count; i++) {
		free(record->names[i].disk);
		free(record->names[i].snapshot);
	}
	free(record->names);
	free(record->image);
	record->names = NULL;
	record->name_count = 0;
	record->image = NULL;
}

int record_append_name(struct layer_record *record, const char *disk, const char *snapshot)
{
	struct layer_name *name = &record->names[record->name_count];

	name->disk = strdup(disk);
	name->snapshot = strdup(snapshot);
	record->name_count++;
	return name->disk && name->snapshot ? 0 : -ENOMEM;
}

static void read_layer_name(struct reader *outer, struct json_object *object, struct layer_name *name)
{
	struct reader reader = { .object = object };
	const char *snapshot = NULL;

	name->disk = read_name(&reader, "disk");
	if (!name->disk || json_get_string(object, "point", &snapshot) <= 0 || !snapshot_name_is_valid(snapshot))
		wrong(&reader);
	name->snapshot = strdup(snapshot ? snapshot : "");
	if (!name->snapshot)
		reader.error = -ENOMEM;
	if (reader.error && !outer->error)
		outer->error = reader.error;
}

static void read_names(struct reader *reader, struct layer_record *record)
{
	struct json_object *names = NULL;
	size_t count;

	if (json_get_array(reader->object, "names", &names) <= 0) {
		wrong(reader);
		return;
	}
	count = json_object_array_length(names);
	if (count > LAYER_NAMES_MAX) {
		wrong(reader);
		return;
	}
	record->names = calloc(count + 1, sizeof(*record->names));
	if (!record->names) {
		reader->error = -ENOMEM;
		return;
	}
	record->name_count = count;
	for (size_t i = 0; i < count; i++)
		read_layer_name(reader, json_object_array_get_idx(names, i), &record->names[i]);
}

static void read_stamp(struct reader *reader, struct image_stamp *stamp)
{
	stamp->device = read_u64(reader, "device", true);
	stamp->inode = read_u64(reader, "inode", true);
	stamp->size = read_u64(reader, "size", true);
	stamp->modified.tv_sec = (time_t)read_u64(reader, "mtime", true);
	stamp->modified.tv_nsec = (long)(read_u64(reader, "mtime-nsec", true) % 1000000000);
	read_text(reader, "identity", stamp->identity, sizeof(stamp->identity), text_is_clean, false);
}

int record_load_layer(int directory, const char *file, struct layer_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(record_clear_layer) struct layer_record record = { 0 };
	struct reader reader = { 0 };
	int r = load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	read_text(&reader, "id", record.id, sizeof(record.id), layer_id_is_valid, true);
	read_text(&reader, "parent", record.parent, sizeof(record.parent), layer_id_is_valid, false);
	record.image = read_name(&reader, "image");
	record.format = (enum image_format)read_choice(&reader, "format", format_names, ARRAY_SIZE(format_names));
	record.state = (enum layer_state)read_choice(&reader, "state", state_names, ARRAY_SIZE(state_names));
	record.virtual_size = read_u64(&reader, "virtual-size", true);
	record.created = (time_t)read_u64(&reader, "created", true);
	if (record.image) {
		read_stamp(&reader, &record.stamp);
		record.contents = read_u64(&reader, "contents", false);
	}
	if (json_object_object_get(object, "trouble"))
		record.trouble =
			(enum image_trouble)read_choice(&reader, "trouble", trouble_names, ARRAY_SIZE(trouble_names));
	read_names(&reader, &record);
	record.becomes_head = read_bool(&reader, "becomes-head");
	read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	read_text(&reader, "note", record.note, sizeof(record.note), text_is_clean, false);
	read_text(&reader, "consistency", record.consistency, sizeof(record.consistency), text_is_clean, false);
	/* An image has nothing beneath it that it could be folded into. */
	if ((record.image == NULL) == (record.parent[0] == '\0') || (record.image && record.state == LAYER_FOLDING))
		wrong(&reader);
	if (reader.error)
		return reader.error;
	*ret_record = record;
	record = (struct layer_record){ 0 };
	return 0;
}

int record_save_layer(struct guard *guard, int directory, const char *file, const struct layer_record *record)
{
	CLEANUP(json_putp) struct json_object *object = new_record();
	struct json_object *names = json_object_new_array();

	set_text(object, "id", record->id);
	set_text(object, "parent", record->parent);
	json_set_string(object, "image", record->image);
	json_set_string(object, "format", format_names[record->format]);
	json_set_string(object, "state", state_names[record->state]);
	json_set_u64(object, "virtual-size", record->virtual_size);
	json_set_u64(object, "created", (uint64_t)record->created);
	if (record->image) {
		json_set_u64(object, "device", record->stamp.device);
		json_set_u64(object, "inode", record->stamp.inode);
		json_set_u64(object, "size", record->stamp.size);
		json_set_u64(object, "mtime", (uint64_t)record->stamp.modified.tv_sec);
		json_set_u64(object, "mtime-nsec", (uint64_t)record->stamp.modified.tv_nsec);
		set_text(object, "identity", record->stamp.identity);
		json_set_u64(object, "contents", record->contents);
	}
	if (record->trouble != TROUBLE_NONE)
		json_set_string(object, "trouble", trouble_names[record->trouble]);
	for (size_t i = 0; i < record->name_count; i++) {
		struct json_object *name = json_object_new_object();

		json_set_string(name, "disk", record->names[i].disk);
		json_set_string(name, "point", record->names[i].snapshot);
		json_object_array_add(names, name);
	}
	json_object_object_add(object, "names", names);
	json_set_bool(object, "becomes-head", record->becomes_head);
	set_text(object, "domain", record->domain);
	set_text(object, "note", record->note);
	set_text(object, "consistency", record->consistency);
	return save(guard, directory, file, object, true);
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
	struct reader reader = { 0 };
	const char *source = NULL;
	int r = load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	read_text(&reader, "uuid", record.uuid, sizeof(record.uuid), uuid_is_valid, true);
	read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	read_text(&reader, "target", record.target, sizeof(record.target), text_is_clean, false);
	read_text(&reader, "boot", record.boot, sizeof(record.boot), text_is_clean, true);
	record.mount = read_u64(&reader, "mount", false);
	record.since = (time_t)read_u64(&reader, "since", true);
	record.armed = read_bool(&reader, "armed");
	read_text(&reader, "config", record.config, sizeof(record.config), text_is_clean, false);
	record.is_watched = read_bool(&reader, "watched");
	record.keeps_leftover = read_bool(&reader, "keeps-leftover");
	record.on_hold = read_bool(&reader, "on-hold");
	record.continued = read_bool(&reader, "continued");
	record.contents = read_u64(&reader, "contents", false);
	if (json_get_string(object, "source", &source) < 0)
		wrong(&reader);
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
	struct json_object *object = new_record();

	set_text(object, "uuid", record->uuid);
	set_text(object, "domain", record->domain);
	set_text(object, "target", record->target);
	json_set_string(object, "source", record->source);
	set_text(object, "boot", record->boot);
	json_set_u64(object, "mount", record->mount);
	json_set_u64(object, "since", (uint64_t)record->since);
	json_set_bool(object, "armed", record->armed);
	set_text(object, "config", record->config);
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

	return save(guard, directory, file, object, false);
}

int record_sync_session(struct guard *guard, int directory, const char *file, const struct session_record *record)
{
	CLEANUP(json_putp) struct json_object *object = describe_session(record);

	return save(guard, directory, file, object, true);
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

static void read_entry(struct reader *outer, struct json_object *object, struct intent_entry *entry)
{
	struct reader reader = { .object = object };

	entry->disk = read_name(&reader, "disk");
	read_text(&reader, "layer", entry->layer, sizeof(entry->layer), layer_id_is_valid, true);
	entry->hold = read_bool(&reader, "hold");
	if (!entry->disk)
		wrong(&reader);
	if (reader.error && !outer->error)
		outer->error = reader.error;
}

int record_load_intent(int directory, const char *file, struct intent_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(record_clear_intent) struct intent_record record = { 0 };
	struct json_object *entries = NULL;
	struct reader reader = { 0 };
	int r = load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	read_text(&reader, "uuid", record.uuid, sizeof(record.uuid), uuid_is_valid, true);
	read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	read_text(&reader, "consumed", record.consumed, sizeof(record.consumed), text_is_clean, false);
	record.managed = read_bool(&reader, "managed");
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
	CLEANUP(json_putp) struct json_object *object = new_record();
	struct json_object *entries = json_object_new_array();

	set_text(object, "uuid", record->uuid);
	set_text(object, "domain", record->domain);
	set_text(object, "consumed", record->consumed);
	json_set_bool(object, "managed", record->managed);
	for (size_t i = 0; i < record->count; i++) {
		struct json_object *entry = json_object_new_object();

		json_set_string(entry, "disk", record->entries[i].disk);
		json_set_string(entry, "layer", record->entries[i].layer);
		json_set_bool(entry, "hold", record->entries[i].hold);
		json_object_array_add(entries, entry);
	}
	json_object_object_add(object, "parts", entries);
	return save(guard, directory, file, object, true);
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
	struct reader reader = { 0 };
	const char *path = NULL;
	int r = load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	if (json_get_string(object, "directory", &path) < 0 || (path && (path[0] != '/' || !text_is_clean(path))))
		wrong(&reader);
	record.directory = path ? strdup(path) : NULL;
	record.name = read_name(&reader, "name");
	read_text(&reader, "id", record.id, sizeof(record.id), layer_id_is_valid, true);
	record.inode = read_u64(&reader, "inode", false);
	record.format = (enum image_format)read_choice(&reader, "format", format_names, ARRAY_SIZE(format_names));
	if (!record.name || (path && !record.directory))
		wrong(&reader);
	if (reader.error)
		return reader.error;
	*ret_record = record;
	record = (struct output_record){ 0 };
	return 0;
}

int record_save_output(struct guard *guard, int directory, const char *file, const struct output_record *record)
{
	CLEANUP(json_putp) struct json_object *object = new_record();

	json_set_string(object, "directory", record->directory);
	json_set_string(object, "name", record->name);
	set_text(object, "id", record->id);
	json_set_u64(object, "inode", record->inode);
	json_set_string(object, "format", format_names[record->format]);
	return save(guard, directory, file, object, true);
}
