/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A layer in the tree is a record and a file in layers/; in memory it lives as long as a reference.
 *
 * The list disks->layers holds one reference of each layer. A layer whose files are gone leaves the
 * list at once, and is freed when its last view is closed.
 */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beneath.h"
#include "image_mark.h"
#include "io.h"
#include "layer_header.h"
#include "lock.h"
#include "log.h"
#include "state_directory.h"

char *layer_file_name(const char *id, const char *suffix)
{
	return format_text("%s%s", id, suffix);
}

struct layer *layer_find_locked(struct disks *disks, const char *id)
{
	struct layer *layer = disks->layers;

	while (layer && strcmp(layer->record.id, id) != 0)
		layer = layer->next;
	return layer;
}

struct layer *layer_new(struct disks *disks)
{
	struct layer *layer = calloc(1, sizeof(*layer));

	if (!layer)
		return NULL;
	record_new_id(layer->record.id);
	layer->record.format = FORMAT_QCOW2;
	layer->record.created = time(NULL);
	layer->disks = disks;
	layer->refs = 1;
	LOCKED (&disks->lock)
		layer->serial = ++disks->last_serial;
	return layer;
}

int layer_insert_locked(struct layer *layer)
{
	struct disks *disks = layer->disks;

	if (layer->record.parent[0] && !layer->parent) {
		struct layer *parent = layer_find_locked(disks, layer->record.parent);

		if (!parent)
			return -ENOENT;
		layer->parent = layer_get_locked(parent);
	}
	if (layer->parent)
		layer->parent->children++;
	layer->next = disks->layers;
	disks->layers = layer_get_locked(layer);
	return 0;
}

int layer_insert(struct layer *layer)
{
	int r = 0;

	LOCKED (&layer->disks->lock)
		r = layer_insert_locked(layer);
	if (r == 0)
		log_debug("disk", "layer %s: in the tree, on %s", layer->record.id,
			  layer->record.image ? layer->record.image : layer->record.parent);
	return r;
}

bool layer_is_below_locked(const struct layer *layer, const struct layer *base)
{
	while (base && base != layer)
		base = base->parent;
	return base != NULL;
}

struct layer *layer_root_locked(struct layer *layer)
{
	while (layer->parent)
		layer = layer->parent;
	return layer;
}

bool layer_is_torn_locked(const struct layer *layer)
{
	for (const struct layer *child = layer->disks->layers; child; child = child->next)
		if (child->parent == layer && child->record.state == LAYER_FOLDING)
			return true;
	return false;
}

size_t layer_depth_locked(const struct layer *layer)
{
	size_t depth = 0;

	for (; layer; layer = layer->parent)
		depth++;
	return depth;
}

size_t layer_count_images_locked(const struct disks *disks, uid_t owner)
{
	size_t count = 0;

	for (const struct layer *layer = disks->layers; layer; layer = layer->next)
		count += layer->record.image && layer->seen.st_nlink && layer->seen.st_uid == owner;
	return count;
}

uint64_t layer_contents(const struct layer *root)
{
	uint64_t contents = 0;

	LOCKED (&root->disks->lock)
		contents = root->record.contents;
	return contents;
}

uint64_t layer_virtual_size(const struct layer *layer)
{
	uint64_t size = 0;

	LOCKED (&layer->disks->lock)
		size = layer->record.virtual_size;
	return size;
}

int layer_open_file(const struct layer *layer, int flags)
{
	CLEANUP(freep) char *name = NULL;

	if (layer->record.image)
		return io_open_beneath(layer->disks->images_fd, layer->record.image, flags | O_NOFOLLOW | O_NONBLOCK);
	name = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);
	return name ? io_open_file(layer->disks->layers_fd, name, flags) : -ENOMEM;
}

int layer_check_files(const struct layer *layer, struct sentence *error)
{
	for (; layer; layer = layer->parent) {
		CLEANUP(close_fdp) int fd = layer_open_file(layer, O_PATH);

		if (fd < 0 && layer->record.image)
			return report(error, -EIO, "its image cannot be reached: %s", error_text(fd));
		if (fd < 0)
			return report(error, -EIO, "the file of layer %s, which it stands on, cannot be reached: %s",
				      layer->record.id, error_text(fd));
	}
	return 0;
}

/* Whether a blank made earlier still fits: the mount may have moved, the image may have grown. */
static bool blank_fits_locked(const struct layer *layer, const struct blank *blank)
{
	const struct qcow2_header *header = blank_header(blank);

	return layer_is_named_by(layer, header->backing) &&
	       strcmp(header->backing_format, format_name(layer->record.format)) == 0 &&
	       header->virtual_size == layer->record.virtual_size;
}

static int make_blank(const struct layer *layer, const char *name, const char *path, struct blank **ret_blank,
		      struct sentence *error)
{
	return blank_make(layer->disks->options, layer->disks->layers_fd, name, path, format_name(layer->record.format),
			  layer_virtual_size(layer), ret_blank, error);
}

/*
 * Read from the state directory, or made. One of an earlier build is given today's name in memory:
 * scratches that were made of it go on to match it.
 */
static int find_blank(struct layer *layer, const char *name, const char *path, struct blank **ret_blank,
		      struct sentence *error)
{
	struct disks *disks = layer->disks;
	struct blank *blank;
	bool fits = false;
	int r = blank_load(disks->layers_fd, name, &blank);

	if (r == 0)
		LOCKED (&disks->lock)
			fits = blank_fits_locked(layer, blank);
	if (fits) {
		blank_set_backing(blank, path);
		*ret_blank = blank;
		return 0;
	}
	if (r == 0)
		blank_free(blank);
	return make_blank(layer, name, path, ret_blank, error);
}

int layer_blank(struct layer *layer, struct blank **ret_blank, struct sentence *error)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_BLANK_SUFFIX);
	CLEANUP(freep) char *path = layer_view_path(layer);
	struct disks *disks = layer->disks;

	LOCKED (&disks->lock)
		*ret_blank = layer->blank;
	if (!*ret_blank && (!name || !path))
		return report(error, -ENOMEM, "out of memory");
	if (!*ret_blank && strlen(path) > QCOW2_BACKING_MAX)
		return report(error, -ENAMETOOLONG,
			      "its path in the mount is longer than the %d bytes that a qcow2 header holds",
			      QCOW2_BACKING_MAX);
	while (!*ret_blank) {
		CLEANUP(blank_freep) struct blank *blank = NULL;
		int r = find_blank(layer, name, path, &blank, error);

		if (r < 0)
			return r;
		/* The layer may have another size since: then the next one is made. */
		LOCKED (&disks->lock) {
			if (!layer->blank && blank_fits_locked(layer, blank))
				layer->blank = steal_pointer(&blank);
			*ret_blank = layer->blank;
		}
	}
	return 0;
}

int layer_renew_blank(struct layer *layer, struct sentence *error)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_BLANK_SUFFIX);
	CLEANUP(freep) char *path = layer_view_path(layer);
	struct blank *blank;
	int r = name && path ? make_blank(layer, name, path, &blank, error) : report(error, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	LOCKED (&layer->disks->lock) {
		if (layer->blank)
			blank_retire(&layer->old_blanks, layer->blank);
		layer->blank = blank;
	}
	return 0;
}

/* Not written where it stays the same: a thread may be reading that without the lock. */
static void store_locked(void *own, const void *now, size_t size)
{
	if (memcmp(own, now, size) != 0)
		memcpy(own, now, size);
}

/* Id, image and format never change once the layer is in the tree. */
static void store_record_locked(struct layer_record *own, const struct layer_record *now)
{
	store_locked(own->parent, now->parent, sizeof(own->parent));
	store_locked(&own->state, &now->state, sizeof(own->state));
	store_locked(&own->virtual_size, &now->virtual_size, sizeof(own->virtual_size));
	store_locked(&own->created, &now->created, sizeof(own->created));
	store_locked(&own->stamp, &now->stamp, sizeof(own->stamp));
	store_locked(&own->contents, &now->contents, sizeof(own->contents));
	store_locked(&own->trouble, &now->trouble, sizeof(own->trouble));
	store_locked(&own->names, &now->names, sizeof(own->names));
	store_locked(&own->name_count, &now->name_count, sizeof(own->name_count));
	store_locked(&own->becomes_head, &now->becomes_head, sizeof(own->becomes_head));
	store_locked(own->domain, now->domain, sizeof(own->domain));
	store_locked(own->note, now->note, sizeof(own->note));
	store_locked(own->consistency, now->consistency, sizeof(own->consistency));
}

int layer_update(struct layer *layer, const struct layer_record *record)
{
	CLEANUP(freep) char *name = layer_file_name(record->id, LAYER_RECORD_SUFFIX);
	int r = name ? record_save_layer(&layer->disks->state_guard, layer->disks->layers_fd, name, record) : -ENOMEM;

	if (r < 0)
		return r;
	LOCKED (&layer->disks->lock)
		store_record_locked(&layer->record, record);
	return 0;
}

bool layer_has_name_locked(const struct layer *layer, const char *disk, const char *snapshot)
{
	for (size_t i = 0; i < layer->record.name_count; i++)
		if (strcmp(layer->record.names[i].disk, disk) == 0 &&
		    strcmp(layer->record.names[i].snapshot, snapshot) == 0)
			return true;
	return false;
}

const char *layer_find_name_locked(const struct layer *layer, const char *disk, const char *prefix)
{
	for (size_t i = 0; i < layer->record.name_count; i++) {
		const struct layer_name *name = &layer->record.names[i];

		if (strcmp(name->disk, disk) == 0 && strncmp(name->snapshot, prefix, strlen(prefix)) == 0)
			return name->snapshot;
	}
	return NULL;
}

/* A copy of the record with names of its own, and room for `more` of them. */
static int copy_names(const struct layer_record *record, size_t more, struct layer_record *copy)
{
	*copy = *record;
	copy->name_count = 0;
	copy->names = calloc(record->name_count + more + 1, sizeof(*copy->names));
	if (!copy->names)
		return -ENOMEM;
	for (size_t i = 0; i < record->name_count; i++)
		if (record_append_name(copy, record->names[i].disk, record->names[i].snapshot) < 0)
			return -ENOMEM;
	return 0;
}

static void free_names(struct layer_record *record)
{
	record->image = NULL; /* shared with the layer's own record */
	record_clear_layer(record);
}

/* Write the record with other names; frees the old names, or after an error the new ones. */
static int update_names(struct layer *layer, struct layer_record *changed)
{
	struct layer_record old = layer->record;
	int r = layer_update(layer, changed);

	free_names(r < 0 ? changed : &old);
	return r;
}

static int add_name_locked(struct layer *layer, const char *disk, const char *snapshot)
{
	struct layer_record changed;
	int r;

	if (layer->record.name_count == LAYER_NAMES_MAX)
		return -ENOSPC;
	r = copy_names(&layer->record, 1, &changed);
	if (r == 0)
		r = record_append_name(&changed, disk, snapshot);
	if (r < 0) {
		free_names(&changed);
		return r;
	}
	return update_names(layer, &changed);
}

static int drop_name_locked(struct layer *layer, const char *disk, const char *snapshot)
{
	struct layer_record changed;
	int r = copy_names(&layer->record, 0, &changed);

	if (r < 0) {
		free_names(&changed);
		return r;
	}
	for (size_t i = 0; i < changed.name_count; i++) {
		struct layer_name *name = &changed.names[i];

		if (strcmp(name->disk, disk) != 0 || strcmp(name->snapshot, snapshot) != 0)
			continue;
		free(name->disk);
		free(name->snapshot);
		*name = changed.names[--changed.name_count];
		return update_names(layer, &changed);
	}
	free_names(&changed);
	return -ENOENT;
}

static int take_names_locked(struct layer *layer, struct layer *from)
{
	struct layer_record changed;
	int r;

	if (from->record.name_count == 0)
		return 0;
	if (layer->record.name_count + from->record.name_count > LAYER_NAMES_MAX)
		return -ENOSPC;
	r = copy_names(&layer->record, from->record.name_count, &changed);
	for (size_t i = 0; i < from->record.name_count && r == 0; i++) {
		const struct layer_name *name = &from->record.names[i];

		if (!layer_has_name_locked(layer, name->disk, name->snapshot))
			r = record_append_name(&changed, name->disk, name->snapshot);
	}
	if (r == 0)
		return update_names(layer, &changed);
	free_names(&changed);
	return r;
}

int layer_add_name(struct layer *layer, const char *disk, const char *snapshot)
{
	int r = 0;

	LOCKED (&layer->disks->records)
		r = add_name_locked(layer, disk, snapshot);
	return r;
}

int layer_drop_name(struct layer *layer, const char *disk, const char *snapshot)
{
	int r = 0;

	LOCKED (&layer->disks->records)
		r = drop_name_locked(layer, disk, snapshot);
	return r;
}

int layer_take_names(struct layer *layer, struct layer *from)
{
	int r = 0;

	LOCKED (&layer->disks->records)
		r = take_names_locked(layer, from);
	return r;
}

static void unlist_locked(struct layer *layer)
{
	struct layer **place = &layer->disks->layers;

	while (*place && *place != layer)
		place = &(*place)->next;
	if (!*place)
		return;
	*place = layer->next;
	layer->removed = true;
	if (layer->parent)
		layer->parent->children--;
	pthread_cond_broadcast(&layer->disks->changed);
	layer_put_locked(layer);
}

int layer_keep_in_lost(const struct layer *layer)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);
	CLEANUP(close_fdp) int fd = layer_open_file(layer, O_PATH);
	int r = !name ? -ENOMEM : fd < 0 ? fd : io_link(fd, layer->disks->lost_fd, name);

	if (r == 0)
		log_warning("layer %s is given up; its data is kept as lost/%s in the state directory",
			    layer->record.id, name);
	return r == -EEXIST || r == -ENOENT ? 0 : r;
}

void layer_await_beat_locked(struct layer *layer)
{
	while (layer->beating)
		pthread_cond_wait(&layer->disks->changed, &layer->disks->lock);
}

int layer_remove(struct layer *layer)
{
	static const char *const suffixes[] = { LAYER_FILE_SUFFIX, LAYER_BLANK_SUFFIX, LAYER_HEADER_SUFFIX,
						LAYER_SPAN_SUFFIX };
	CLEANUP(freep) char *record = layer_file_name(layer->record.id, LAYER_RECORD_SUFFIX);
	struct disks *disks = layer->disks;
	struct layer *root = NULL;
	int r;

	LOCKED (&disks->lock)
		layer_await_beat_locked(layer);
	r = record ? state_check(disks, NULL) : -ENOMEM;
	if (r == 0 && layer->record.image)
		image_mark_forget(layer);
	if (r == 0)
		r = io_unlink(disks->layers_fd, record);
	/* A file without a record means nothing, so the record's removal is made durable first. */
	if (r == 0)
		r = io_sync_directory(disks->layers_fd);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		CLEANUP(freep) char *name = layer_file_name(layer->record.id, suffixes[i]);

		if (name && io_unlink(disks->layers_fd, name) < 0)
			log_warning("layer %s: %s stays behind in the state directory; the next start removes it",
				    layer->record.id, name);
	}
	LOCKED (&disks->lock) {
		root = layer->parent ? layer_get_locked(layer_root_locked(layer)) : NULL;
		unlist_locked(layer);
	}
	log_debug("disk", "layer %s: removed", layer->record.id);
	if (root)
		image_mark_drop(root);
	layer_put(root);
	return 0;
}

void layer_forget_blank(struct layer *layer)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_BLANK_SUFFIX);

	LOCKED (&layer->disks->lock)
		if (layer->blank)
			blank_retire(&layer->old_blanks, steal_pointer(&layer->blank));
	if (name)
		io_unlink(layer->disks->layers_fd, name);
}

static bool has_session_locked(const struct layer *layer)
{
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->session && disk->head && layer_is_below_locked(layer, disk_base(disk)))
			return true;
	return false;
}

void layer_forget_labels_locked(struct disk *disk)
{
	for (struct layer *layer = disk->head ? disk_base(disk) : NULL; layer; layer = layer->parent)
		if (layer->labelled && !layer->pins && !layer->onlookers.open && !has_session_locked(layer))
			layer->labelled = false;
}

struct layer *disk_base(const struct disk *disk)
{
	return disk->hold ? disk->hold : disk->head;
}

struct layer *disk_find_snapshot_locked(const struct disk *disk, const char *name)
{
	for (struct layer *layer = disk->disks->layers; layer; layer = layer->next)
		if (layer_has_name_locked(layer, disk->name, name))
			return layer;
	return NULL;
}
