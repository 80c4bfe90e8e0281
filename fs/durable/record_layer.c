/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of a layer, and what a root's says of its image.
 */
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record_json.h"

static const char *const trouble_names[] = {
	[TROUBLE_NONE] = "none", [TROUBLE_CORRUPT] = "corrupt", [TROUBLE_BITMAP] = "bitmap"
};
static const char *const state_names[] = { [LAYER_SEALED] = "sealed", [LAYER_FOLDING] = "folding" };

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

static void read_layer_name(struct record_reader *outer, struct json_object *object, struct layer_name *name)
{
	struct record_reader reader = { .object = object };
	const char *snapshot = NULL;

	name->disk = record_read_name(&reader, "disk");
	if (!name->disk || json_get_string(object, "point", &snapshot) <= 0 || !snapshot_name_is_valid(snapshot))
		record_is_wrong(&reader);
	name->snapshot = strdup(snapshot ? snapshot : "");
	if (!name->snapshot)
		reader.error = -ENOMEM;
	if (reader.error && !outer->error)
		outer->error = reader.error;
}

static void read_names(struct record_reader *reader, struct layer_record *record)
{
	struct json_object *names = NULL;
	size_t count;

	if (json_get_array(reader->object, "names", &names) <= 0) {
		record_is_wrong(reader);
		return;
	}
	count = json_object_array_length(names);
	if (count > LAYER_NAMES_MAX) {
		record_is_wrong(reader);
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

static void read_stamp(struct record_reader *reader, struct image_stamp *stamp)
{
	stamp->device = record_read_u64(reader, "device", true);
	stamp->inode = record_read_u64(reader, "inode", true);
	stamp->size = record_read_u64(reader, "size", true);
	stamp->modified.tv_sec = (time_t)record_read_u64(reader, "mtime", true);
	stamp->modified.tv_nsec = (long)(record_read_u64(reader, "mtime-nsec", true) % 1000000000);
	record_read_text(reader, "identity", stamp->identity, sizeof(stamp->identity), text_is_clean, false);
}

int record_load_layer(int directory, const char *file, struct layer_record *ret_record)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(record_clear_layer) struct layer_record record = { 0 };
	struct record_reader reader = { 0 };
	int r = record_file_load(directory, file, &object);

	if (r < 0)
		return r;
	reader.object = object;
	record_read_text(&reader, "id", record.id, sizeof(record.id), layer_id_is_valid, true);
	record_read_text(&reader, "parent", record.parent, sizeof(record.parent), layer_id_is_valid, false);
	record.image = record_read_name(&reader, "image");
	record.format = record_read_format(&reader);
	record.state = (enum layer_state)record_read_choice(&reader, "state", state_names, ARRAY_SIZE(state_names));
	record.virtual_size = record_read_u64(&reader, "virtual-size", true);
	record.created = (time_t)record_read_u64(&reader, "created", true);
	if (record.image) {
		read_stamp(&reader, &record.stamp);
		record.contents = record_read_u64(&reader, "contents", false);
	}
	if (json_object_object_get(object, "trouble"))
		record.trouble = (enum image_trouble)record_read_choice(&reader, "trouble", trouble_names,
									ARRAY_SIZE(trouble_names));
	read_names(&reader, &record);
	record.becomes_head = record_read_bool(&reader, "becomes-head");
	record_read_text(&reader, "domain", record.domain, sizeof(record.domain), text_is_clean, false);
	record_read_text(&reader, "note", record.note, sizeof(record.note), text_is_clean, false);
	record_read_text(&reader, "consistency", record.consistency, sizeof(record.consistency), text_is_clean, false);
	/* An image has nothing beneath it that it could be folded into. */
	if ((record.image == NULL) == (record.parent[0] == '\0') || (record.image && record.state == LAYER_FOLDING))
		record_is_wrong(&reader);
	if (reader.error)
		return reader.error;
	*ret_record = record;
	record = (struct layer_record){ 0 };
	return 0;
}

int record_save_layer(struct guard *guard, int directory, const char *file, const struct layer_record *record)
{
	CLEANUP(json_putp) struct json_object *object = record_object();
	struct json_object *names = json_object_new_array();

	record_set_text(object, "id", record->id);
	record_set_text(object, "parent", record->parent);
	json_set_string(object, "image", record->image);
	json_set_string(object, "format", format_name(record->format));
	json_set_string(object, "state", state_names[record->state]);
	json_set_u64(object, "virtual-size", record->virtual_size);
	json_set_u64(object, "created", (uint64_t)record->created);
	if (record->image) {
		json_set_u64(object, "device", record->stamp.device);
		json_set_u64(object, "inode", record->stamp.inode);
		json_set_u64(object, "size", record->stamp.size);
		json_set_u64(object, "mtime", (uint64_t)record->stamp.modified.tv_sec);
		json_set_u64(object, "mtime-nsec", (uint64_t)record->stamp.modified.tv_nsec);
		record_set_text(object, "identity", record->stamp.identity);
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
	record_set_text(object, "domain", record->domain);
	record_set_text(object, "note", record->note);
	record_set_text(object, "consistency", record->consistency);
	return record_file_save(guard, directory, file, object, true);
}
