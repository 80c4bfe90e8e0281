/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "leftovers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "entries.h"
#include "image_stamp.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"

/* --- what reaches a layer --------------------------------------------------------------------- */

static bool is_disk(const struct disks *disks, const char *name)
{
	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (strcmp(disk->name, name) == 0)
			return true;
	return false;
}

static bool has_name(const struct layer *layer, const struct layer_name *name)
{
	bool has = false;

	LOCKED (&layer->disks->lock)
		has = layer_has_name_locked(layer, name->disk, name->snapshot);
	return has;
}

static bool is_reached_by_name(const struct layer *layer)
{
	for (size_t i = 0; i < layer->record.name_count; i++) {
		const struct layer_name *name = &layer->record.names[i];

		/* An unprotect by force was cut off: the disk that knows the name is gone. */
		if (!is_disk(layer->disks, name->disk))
			continue;
		/* A fold was cut off at its very end: the parent has the names already. */
		if (layer->record.state != LAYER_FOLDING || !has_name(layer->parent, name))
			return true;
	}
	return false;
}

bool layer_is_reached(const struct layer *layer)
{
	if (layer->children || is_reached_by_name(layer))
		return true;
	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk)
		if (disk->head == layer || disk->hold == layer || disk->root == layer)
			return true;
	return false;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Whether the file is also a disk's scratch: then its data has not lost its place. */
static bool is_a_scratch(const struct disks *disks, const struct stat *file)
{
	struct stat stat;

	for (const struct disk *disk = disks->first; disk; disk = disk->next_disk)
		if (disk->scratch && fstat(disk->scratch->fd, &stat) == 0 && stat.st_ino == file->st_ino &&
		    stat.st_dev == file->st_dev)
			return true;
	return false;
}

/* Two names of one file: to rename(2), nothing to do. */
static bool is_in_lost(const struct disks *disks, const char *name, const struct stat *file)
{
	struct stat stat;

	return fstatat(disks->lost_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_ino == file->st_ino &&
	       stat.st_dev == file->st_dev;
}

static void remove_file(struct disks *disks, const char *name, const char *why)
{
	if (io_unlink(disks->layers_fd, name) == 0)
		log_debug("disk", "start: layers/%s is removed: %s", name, why);
}

static void put_away(struct disks *disks, const char *name)
{
	struct stat stat;

	if (fstatat(disks->layers_fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (is_a_scratch(disks, &stat))
		remove_file(disks, name, "it is a disk's scratch, whose seal was cut off");
	else if (is_in_lost(disks, name, &stat))
		remove_file(disks, name, "its layer was given up, and lost/ has it");
	else if (io_rename(disks->layers_fd, name, disks->lost_fd, name) == 0)
		log_warning("state directory: nothing needs layers/%s any more; it was moved to lost/", name);
}

static void remove_unrecorded_file(struct disks *disks, const char *name)
{
	char id[LAYER_ID_SIZE];
	struct layer *layer = NULL;

	snprintf(id, sizeof(id), "%s", name);
	if (layer_id_is_valid(id))
		LOCKED (&disks->lock)
			layer = layer_find_locked(disks, id);
	if (entry_has_suffix(name, ".new"))
		remove_file(disks, name, "it was being written");
	else if (layer)
		return;
	else if (layer_id_is_valid(id) &&
		 (entry_has_suffix(name, LAYER_BLANK_SUFFIX) || entry_has_suffix(name, LAYER_HEADER_SUFFIX) ||
		  entry_has_suffix(name, LAYER_SPAN_SUFFIX)))
		remove_file(disks, name, "there is no such layer");
	else
		put_away(disks, name);
}

/* --- names and layers ------------------------------------------------------------------------- */

/* Of a disk that is gone; false when a record cannot be written. */
static bool drop_orphaned_names(struct layer *layer)
{
	size_t i = 0;

	while (i < layer->record.name_count) {
		const struct layer_name *name = &layer->record.names[i];

		if (is_disk(layer->disks, name->disk)) {
			i++;
			continue;
		}
		log_debug("disk", "start: layer %s: its name '%s' goes with disk '%s'", layer->record.id,
			  name->snapshot, name->disk);
		if (layer_drop_name(layer, name->disk, name->snapshot) < 0) {
			log_warning(
				"layer %s: a snapshot of a disk that is gone stays behind; the next start tries again",
				layer->record.id);
			return false;
		}
	}
	return true;
}

/*
 * The removal of a clone, or an unprotect by force, was cut off: the disk that knows the name is
 * gone. The next disk that is called so must not find it.
 */
static void drop_all_orphaned_names(struct disks *disks)
{
	struct layer *layer = disks->layers;

	while (layer && drop_orphaned_names(layer))
		layer = layer->next;
}

static struct layer *first_unreached(struct disks *disks)
{
	struct layer *layer = disks->layers;

	while (layer && layer_is_reached(layer))
		layer = layer->next;
	return layer;
}

/*
 * Then its data is in its parent (fold.c). Over an image that has been changed it was not folded,
 * but was to be given up (renew.c).
 */
static bool was_folded(const struct layer *layer)
{
	struct image_stamp now;

	return layer->record.state == LAYER_FOLDING &&
	       (!layer->parent->record.image || image_compare(layer->parent, false, &now) == IMAGE_SAME);
}

static void remove_unreached(struct disks *disks)
{
	struct layer *layer;

	while ((layer = first_unreached(disks))) {
		CLEANUP(freep) char *file = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);

		log_debug("disk", "start: layer %s is removed: nothing reaches it", layer->record.id);
		if (file && !layer->record.image && !was_folded(layer))
			put_away(disks, file);
		if (layer_remove(layer) < 0) {
			log_warning("layer %s is not needed and cannot be removed; the next start tries again",
				    layer->record.id);
			return;
		}
	}
}

void leftovers_remove(struct disks *disks)
{
	drop_all_orphaned_names(disks);
	remove_unreached(disks);
	entries_visit(disks, disks->layers_fd, remove_unrecorded_file);
}
