/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's properties: what `set` changes. size= makes the disk grow, image= says what is to be
 * thought of an image that was changed outside the mount (image.h, renew.h), and reverts=no that
 * the disk is no session's: its scratch is written without one, and is its data.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "image_mark.h"
#include "io.h"
#include "job.h"
#include "layer.h"
#include "layer_header.h"
#include "log.h"
#include "qemu_img.h"
#include "renew.h"
#include "scratch.h"
#include "session.h"
#include "table.h"
#include "claim.h"
#include "command.h"
#include "writable.h"

#define KEEP_REVISIONS_MAX 1000

static int parse_property(struct disk_record *record, const char *key, const char *value, struct sentence *error)
{
	uint64_t number;

	if (strcmp(key, "keep-revisions") == 0) {
		if (parse_size(value, &number) < 0 || number > KEEP_REVISIONS_MAX)
			return report(error, -EINVAL, "keep-revisions must be a number up to %d", KEEP_REVISIONS_MAX);
		record->keep_revisions = number;
	} else if (strcmp(key, "leftover") == 0) {
		if (strcmp(value, "keep") != 0 && strcmp(value, "discard") != 0)
			return report(error, -EINVAL, "leftover must be keep or discard");
		record->leftover_keep = strcmp(value, "keep") == 0;
	} else if (strcmp(key, "durability") == 0) {
		if (strcmp(value, "strict") != 0 && strcmp(value, "relaxed") != 0)
			return report(error, -EINVAL, "durability must be strict or relaxed");
		record->strict = strcmp(value, "strict") == 0;
	} else {
		return report(
			error, -EINVAL,
			"'%s' is no property; there are keep-revisions, leftover, durability, reverts, size and image",
			key);
	}
	return 0;
}

/*
 * File and record of the larger, empty layer: steps 2 and 3 of a seal (seal.c), with a file that
 * qemu-img makes.
 */
static int make_larger_layer(struct disk *disk, struct layer *layer, bool *ret_marked, struct sentence *error)
{
	CLEANUP(freep) char *file = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);
	CLEANUP(freep) char *record = layer_file_name(layer->record.id, LAYER_RECORD_SUFFIX);
	CLEANUP(freep) char *backing = layer_view_path(disk->head);
	struct disks *disks = disk->disks;
	CLEANUP(close_fdp) int fd = -1;
	struct blank *blank;
	int r;

	if (!file || !record || !backing)
		return report(error, -ENOMEM, "out of memory");
	fd = openat(disks->layers_fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return report(error, -errno, "a larger layer cannot be made: %s", error_text(-errno));
	r = qemu_img_create(disks->options, fd, backing, format_name(disk->head->record.format),
			    layer->record.virtual_size, error);
	if (r == 0)
		r = layer_blank(layer, &blank, error);
	if (r < 0)
		return r;
	r = scratch_set_attributes(disk, fd);
	if (r == 0)
		r = io_sync(fd);
	/*
	 * The file's name must last before the record: a start that finds a record without a file
	 * removes nothing.
	 */
	if (r == 0)
		r = io_sync_directory(disks->layers_fd);
	if (r < 0)
		return report(error, r, "a larger layer cannot be made: %s", error_text(r));
	r = image_mark_need(disk->root, error);
	if (r < 0)
		return report_context(error, r, "a larger layer cannot be made: ");
	*ret_marked = true;
	r = record_save_layer(&disks->state_guard, disks->layers_fd, record, &layer->record);
	return r < 0 ? report(error, r, "a larger layer cannot be made: %s", error_text(r)) : 0;
}

static int check_growable_layer(const struct layer *layer, uint64_t size, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(layer, O_RDONLY);

	return fd < 0 ? report(error, fd, "the file of layer %s cannot be opened: %s", layer->record.id, error_text(fd))
		      : writable_check_size(layer, fd, size, error);
}

/* Whether the fold of a larger layer can go all the way down to the image. */
static int check_growable(const struct disk *disk, uint64_t size, struct sentence *error)
{
	const struct layer *layer = disk->head;
	int r = check_growable_layer(layer, size, error);

	while (r == 0 && (layer = layer->parent))
		r = check_growable_layer(layer, size, error);
	return r < 0 ? report_context(error, r, "disk '%s': ", disk->name) : 0;
}

/* Growing is a commit of an empty layer with the new size; its fold makes the image grow. */
static int grow(struct disk *disk, uint64_t size, struct sentence *error)
{
	struct disk_record after = disk->record;
	struct disks *disks = disk->disks;
	uint64_t old_size = layer_virtual_size(disk->head);
	struct layer *layer;
	bool marked = false;
	int r;

	if (size < old_size || size % 512)
		return report(error, -EINVAL, "disk '%s' can only grow, in steps of 512 bytes; it has %llu bytes",
			      disk->name, (unsigned long long)old_size);
	if (size == old_size)
		return 0;
	if (disk->scratch && scratch_is_dirty(disk->scratch))
		return report(error, -EBUSY, "disk '%s' has changes in its scratch; 'reset' or 'commit' it first",
			      disk->name);
	r = check_growable(disk, size, error);
	if (r < 0)
		return r;
	layer = layer_new(disks);
	if (!layer)
		return report(error, -ENOMEM, "out of memory");
	layer->record.virtual_size = size;
	strcpy(layer->record.parent, disk->head->record.id);
	strcpy(after.head, layer->record.id);
	after.follow = false; /* it has a layer of its own now */
	r = make_larger_layer(disk, layer, &marked, error);
	if (r == 0) {
		r = disk_save(disk, &after);
		if (r < 0)
			report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	}
	if (r == 0) {
		layer_insert(layer);
		disk_set_head(disk, layer);
		r = scratch_replace(disk, layer, error);
	} else {
		marked = layer_remove(layer) == 0 && marked;
	}
	if (marked)
		image_mark_done(disk->root);
	layer_put(layer);
	return r;
}

static int set_size(struct disk *disk, const char *value, struct sentence *error)
{
	uint64_t size = 0;
	int r = disk_check_idle(disk, error);

	if (r == 0)
		r = disk_check_not_held(disk, error);
	if (r == 0 && parse_size(value, &size) < 0)
		r = report(error, -EINVAL, "size must be a number of bytes, or one with K, M, G or T");
	if (r == 0)
		r = image_check(disk, disk->scratch && scratch_is_dirty(disk->scratch), error);
	return r < 0 ? r : grow(disk, size, error);
}

static int set_image(struct disk *disk, const char *value, struct sentence *error)
{
	int r = disk_check_idle(disk, error);

	return r < 0 ? r : image_set(disk, value, error);
}

/*
 * What a session of before left belongs to that session, and may lack what its guest had flushed:
 * data that is kept from now on does not begin with it.
 */
static int check_may_keep_data(const struct disk *disk, struct sentence *error)
{
	struct sentence quoted;
	const char *name = quote_name(disk->name, &quoted);
	int r = disk_check_not_held(disk, error);

	if (r == 0 && disk->record.fate != FATE_UNHOOKED && disk->scratch && scratch_is_dirty(disk->scratch))
		r = report(error, -EBUSY, "disk '%s' has what a session left; 'reset %s' or 'commit %s' first",
			   disk->name, name, name);
	return r;
}

/*
 * A session that is over but was not released goes first: what is written from then on is none's
 * (scratch_open.c).
 */
static int set_reverts(struct disk *disk, const char *value, struct sentence *error)
{
	bool keeps = strcmp(value, "no") == 0;
	struct disk_record after;
	int r = disk_check_idle(disk, error);

	if (r == 0 && !keeps && strcmp(value, "yes") != 0)
		r = report(error, -EINVAL, "reverts must be yes or no");
	if (r == 0 && keeps)
		r = check_may_keep_data(disk, error);
	if (r < 0)
		return r;
	if (keeps && disk->session)
		session_end(disk);
	after = disk->record;
	after.keeps_data = keeps;
	r = disk_save(disk, &after);
	return r < 0 ? report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r)) : 0;
}

int disk_set(struct disks *disks, const char *name, const char *key, const char *value, struct sentence *error)
{
	struct disk_record record;
	struct disk *disk;
	int r;

	if (strcmp(key, "image") == 0 && strcmp(value, "new") == 0)
		return renew_image(disks, name, error);
	r = disk_claim_name(disks, name, &disk, error);
	if (r < 0)
		return r;
	record = disk->record;
	if (strcmp(key, "size") == 0) {
		r = set_size(disk, value, error);
	} else if (strcmp(key, "image") == 0) {
		r = set_image(disk, value, error);
	} else if (strcmp(key, "reverts") == 0) {
		r = set_reverts(disk, value, error);
	} else {
		r = parse_property(&record, key, value, error);
		if (r == 0) {
			r = disk_save(disk, &record);
			if (r < 0)
				report(error, r, "disk '%s': its record cannot be written: %s", name, error_text(r));
		}
	}
	if (r == 0)
		job_queue(disk);
	disk_release_claim(disk);
	return r;
}
