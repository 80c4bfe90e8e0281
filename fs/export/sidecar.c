/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sidecar.h"

#include "json.h"
#include "layer.h"
#include "lock.h"
#include "record.h"

#define SIDECAR_VERSION 1

static struct json_object *list_layers(const struct layer *layer)
{
	struct json_object *list = json_object_new_array();

	for (; layer; layer = layer->parent)
		json_object_array_add(list, json_object_new_string(layer->record.id));
	return list;
}

static void describe_layer(struct json_object *sidecar, const struct layer *layer)
{
	const struct layer_record *record = &layer->record;
	char sealed[TIME_TEXT_SIZE];

	time_text(record->created, sealed);
	json_set_string(sidecar, "layer", record->id);
	json_object_object_add(sidecar, "layers", list_layers(layer));
	json_set_string(sidecar, "sealed", sealed);
	json_set_string(sidecar, "note", record->note[0] ? record->note : NULL);
}

static void describe_file(struct json_object *sidecar, const struct exported_file *file)
{
	char now[TIME_TEXT_SIZE];

	time_text(time(NULL), now);
	json_set_string(sidecar, "exported", now);
	json_set_u64(sidecar, "bytes", file->bytes);
	json_set_u64(sidecar, "allocated", file->allocated);
	json_set_string(sidecar, "sha256", file->sha256[0] ? file->sha256 : NULL);
}

char *sidecar_text(const struct transfer *transfer, const char *snapshot, bool held,
		   const struct qemu_conversion *conversion, const struct exported_file *file)
{
	CLEANUP(json_putp) struct json_object *sidecar = json_object_new_object();
	struct disk *disk = transfer->disk;
	const char *origin = NULL; /* set once; the record around it is written by verbs meanwhile */

	LOCKED (&disk->disks->lock)
		origin = disk->record.origin;
	json_set_u64(sidecar, "version", SIDECAR_VERSION);
	json_set_string(sidecar, "disk", disk->name);
	json_set_string(sidecar, "point", snapshot);
	json_set_string(sidecar, "saved_domain", held ? transfer->layer->record.domain : NULL);
	json_set_string(sidecar, "template", origin);
	json_set_string(sidecar, "image", disk->root->record.image);
	describe_layer(sidecar, transfer->layer);
	json_set_string(sidecar, "consistency", file->consistency);
	json_set_string(sidecar, "format", conversion->format);
	json_set_bool(sidecar, "compressed", conversion->compress);
	json_set_u64(sidecar, "virtual_size", layer_virtual_size(transfer->layer));
	describe_file(sidecar, file);
	return format_text("%s\n", json_object_to_json_string_ext(sidecar, JSON_C_TO_STRING_PRETTY |
										   JSON_C_TO_STRING_NOSLASHESCAPE));
}
