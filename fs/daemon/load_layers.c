/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A layer whose record cannot be read, or whose parent is missing, is not used; its files stay.
 */
#include "load_layers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "entries.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "rebase.h"

/* --- records ---------------------------------------------------------------------------------- */

/* A live snapshot that was cut off between its record and its name (live_snapshot.c, step 5). */
static void complete_copy(struct disks *disks, const struct layer_record *record)
{
	CLEANUP(freep) char *name = layer_file_name(record->id, LAYER_FILE_SUFFIX);
	CLEANUP(freep) char *new_name = name ? format_text("%s.new", name) : NULL;

	if (!new_name || record->image || faccessat(disks->layers_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
	    errno != ENOENT)
		return;
	if (io_rename(disks->layers_fd, new_name, disks->layers_fd, name) == 0)
		log_debug("disk", "start: layer %s: the live snapshot that was cut off has its file", record->id);
}

/*
 * Whether the record is called ID.json, so that there is one for each id. A copy of it, which
 * somebody made, may be all that is left of the right one: it is not used, and nothing is removed.
 */
static bool has_its_name(struct disks *disks, const struct layer_record *record, const char *name)
{
	if (strncmp(name, record->id, LAYER_ID_SIZE - 1) == 0 &&
	    strcmp(name + LAYER_ID_SIZE - 1, LAYER_RECORD_SUFFIX) == 0)
		return true;
	log_error(
		"state directory: layers/%s is not used: it is the record of layer %s, and not named so; nothing is removed until it is gone",
		name, record->id);
	disks->incomplete = true;
	return false;
}

/* Onto the list of those whose parents are not found yet. The layer owns the record. */
static int add_layer(struct disks *disks, const struct layer_record *record)
{
	struct layer *layer = layer_new(disks);

	if (!layer)
		return -ENOMEM;
	complete_copy(disks, record);
	layer->record = *record;
	layer->next = disks->loading;
	disks->loading = layer;
	return 0;
}

static void load_layer(struct disks *disks, const char *name)
{
	struct layer_record record = { 0 };
	int r;

	if (!entry_has_suffix(name, LAYER_RECORD_SUFFIX))
		return;
	r = record_load_layer(disks->layers_fd, name, &record);
	if (r == 0 && has_its_name(disks, &record, name)) {
		r = add_layer(disks, &record);
		if (r == 0)
			return;
	}
	record_clear_layer(&record);
	if (r < 0)
		entry_is_unreadable(disks, "layer record", name, r);
}

/* --- the tree --------------------------------------------------------------------------------- */

/* Insert those whose parent is in the tree; how many there were. */
static unsigned insert_layers_locked(struct disks *disks)
{
	struct layer **place = &disks->loading;
	unsigned inserted = 0;

	while (*place) {
		struct layer *layer = *place, *rest = layer->next;

		if (layer->record.parent[0] && !layer_find_locked(disks, layer->record.parent)) {
			place = &layer->next;
			continue;
		}
		*place = rest;
		layer_insert_locked(layer);
		layer_put_locked(layer);
		inserted++;
	}
	return inserted;
}

static void drop_parentless_locked(struct disks *disks)
{
	while (disks->loading) {
		struct layer *layer = disks->loading;

		disks->loading = layer->next;
		log_error(
			"state directory: layer %s stands on layer %s, which is not there; it is kept, but cannot be used",
			layer->record.id, layer->record.parent);
		disks->incomplete = true;
		layer_put_locked(layer);
	}
}

/* A parent may come later in the directory than its children, so the list is walked repeatedly. */
static void build_tree(struct disks *disks)
{
	unsigned count = 0, inserted;

	LOCKED (&disks->lock) {
		while ((inserted = insert_layers_locked(disks)))
			count += inserted;
		drop_parentless_locked(disks);
	}
	log_debug("disk", "start: %u layers are read", count);
}

/* --- headers ---------------------------------------------------------------------------------- */

/*
 * Whether a start that was killed had moved its file there, and not got to its record: nothing
 * reached the layer, so it is removed (leftovers.c). Where something does, that cannot be used.
 */
static bool is_in_lost(const struct layer *layer)
{
	CLEANUP(freep) char *name = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);

	return name && faccessat(layer->disks->lost_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void mend_header(struct layer *layer)
{
	CLEANUP(freep) char *saved = layer_file_name(layer->record.id, LAYER_HEADER_SUFFIX);
	CLEANUP(close_fdp) int fd = layer_open_file(layer, O_RDWR);
	struct disks *disks = layer->disks;
	struct sentence why;
	int r = fd < 0 ? fd : !saved ? -ENOMEM : rebase_recover(fd, disks->layers_fd, saved);

	if (fd == -ENOENT && is_in_lost(layer))
		return;
	if (r == 0)
		r = rebase_header(disks, fd, disks->layers_fd, saved, layer->parent, &why);
	else
		report(&why, r, "its file cannot be opened: %s", error_text(r));
	if (r < 0) {
		log_error("layer %s cannot be used: %s", layer->record.id, why.text);
		disks->incomplete = true;
	}
}

static void mend_headers(struct disks *disks)
{
	for (struct layer *layer = disks->layers; layer; layer = layer->next)
		if (layer->parent)
			mend_header(layer);
}

int load_layers(struct disks *disks)
{
	int r = entries_visit(disks, disks->layers_fd, load_layer);

	if (r < 0)
		return r;
	build_tree(disks);
	mend_headers(disks);
	return 0;
}
