/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making and unmaking disks, and their properties. What is done to a disk's history is in history.c.
 *
 * Each verb is: claim the disk, check that it is idle, change files in an order that a crash cannot hurt, then the memory.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clone.h"
#include "image.h"
#include "io.h"
#include "json.h"
#include "layer.h"
#include "log.h"
#include "qemu_img.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "transfer.h"
#include "claim.h"
#include "job.h"

#define KEEP_REVISIONS_MAX 1000

struct scratch *disk_scratch(struct disk *disk)
{
	struct scratch *scratch;

	pthread_mutex_lock(&disk->disks->lock);
	scratch = disk->scratch;
	if (scratch)
		scratch->refs++;
	pthread_mutex_unlock(&disk->disks->lock);
	return scratch;
}

/* --- protect and unprotect ----------------------------------------------------------------------- */

/* The root layer of a disk that is to be: format, size and template of its image. */
static int make_root(struct disks *disks, const char *name, const char *format, struct layer **ret_root,
		     struct sentence *error)
{
	struct layer *root = layer_new(disks);
	struct template *template;
	struct sentence why;
	int r;

	if (!root || !(root->record.image = strdup(name))) {
		layer_put(root);
		return report(error, -ENOMEM, "out of memory");
	}
	r = image_probe(disks, name, format, &root->record, error);
	if (r == 0) {
		r = layer_template(root, &template, &why);
		if (r < 0)
			report(error, r, "disk '%s' cannot be protected: %s", name, why.text);
	}
	if (r < 0)
		layer_put(root);
	else
		*ret_root = root;
	return r;
}

/*
 * From the moment that the disk is in the table nobody opens its image for writing through the mount any more; so whoever has it open for
 * writing now is found, here or in another process.
 */
static int check_image_is_idle(struct layer *root, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_RDONLY);
	struct image_stamp stamp;

	if (fd < 0)
		return report(error, fd, "image '%s' cannot be opened: %s", root->record.image, error_text(fd));
	if (io_check_no_writer(fd) == -EBUSY)
		return report(error, -EBUSY, "image '%s' is open for writing; close it first", root->record.image);
	if (layer_check_image(root, false, &stamp) != 0)
		return report(error, -EBUSY, "image '%s' was changed while it was being protected", root->record.image);
	return 0;
}

static int register_disk(struct disks *disks, const char *name, struct layer *root, struct disk **ret_disk,
			 struct sentence *error)
{
	CLEANUP(freep) char *file = layer_file_name(root->record.id, LAYER_RECORD_SUFFIX);
	struct disk_record record = { 0 };
	struct disk *disk, *other;
	int r;

	other = disks_find_inode(disks, root->record.stamp.device, root->record.stamp.inode);
	if (other) {
		report(error, -EEXIST, "image '%s' is protected already, as '%s'", name, disk_name(other));
		disk_put(other);
		return -EEXIST;
	}
	disk = disk_new(disks, name, &r, error);
	if (!disk)
		return r;
	pthread_mutex_lock(&disks->lock);
	disk->root = layer_get_locked(root);
	disk->head = layer_get_locked(root);
	layer_insert_locked(root);
	pthread_mutex_unlock(&disks->lock);
	strcpy(record.head, root->record.id);
	r = disk_insert(disk);
	if (r < 0)
		report(error, r, "disk '%s' is protected already, or is a directory of another disk's name", name);
	if (r == 0)
		r = check_image_is_idle(root, error);
	if (r == 0)
		r = scratch_renew(disk, root, error);
	if (r == 0) {
		r = file ? record_save_layer(disks->layers_fd, file, &root->record) : -ENOMEM;
		if (r == 0)
			r = disk_save(disk, &record);
		if (r == 0)
			r = io_sync_directory(disks->disks_fd);
		if (r < 0)
			report(error, r, "disk '%s' cannot be recorded: %s", name, error_text(r));
	}
	*ret_disk = disk;
	return r;
}

int disk_protect(struct disks *disks, const char *name, const char *format, struct sentence *error)
{
	struct disk *disk = disks_find(disks, name);
	struct layer *root = NULL;
	int r = disk_check_new_name(name, error);

	if (disk) {
		disk_put(disk);
		return report(error, -EEXIST, "disk '%s' is protected already", name);
	}
	if (r == 0)
		r = make_root(disks, name, format, &root, error);
	if (r < 0 || !root)
		return r;
	disk = NULL;
	pthread_rwlock_wrlock(&disks->names);
	r = register_disk(disks, name, root, &disk, error);
	if (r < 0 && disk) {
		bool inserted = r != -EEXIST;

		if (inserted) {
			disk_remove(disk);
			disk_remove_files(disk);
		}
		layer_remove(root);
		disk_unclaim(disk);
	} else if (r < 0) {
		layer_forget_template(root);
	} else {
		disk_unclaim(disk);
		log_info("disk '%s' is protected (%s, %llu bytes)", name, format_name(root->record.format),
			 (unsigned long long)root->record.virtual_size);
	}
	pthread_rwlock_unlock(&disks->names);
	disk_put(disk);
	layer_put(root);
	return r;
}

static int check_may_unprotect(struct disk *disk, bool force, struct sentence *error)
{
	const struct disk *clone;
	int r = disk_check_idle(disk, error);

	if (r == 0 && !force)
		r = disk_check_not_held(disk, error);
	if (r == 0 && disk->record.template)
		r = report(error, -EINVAL, "disk '%s' is a clone; remove it with rm", disk->name);
	if (r == 0)
		r = disk_wait_for_all(disk, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->disks->lock);
	clone = disk_find_clone_locked(disk);
	if (clone)
		r = report(error, -EBUSY, "disk '%s' is the template of clone '%s'; remove its clones first",
			   disk->name, clone->name);
	else if (transfer_exists_locked(disk))
		r = report(error, -EBUSY, "disk '%s' is being copied; wait for that, or 'cancel' it", disk->name);
	else if (disk->root->children && !force)
		r = report(error, -EBUSY,
			   "disk '%s' has layers that are not folded into its image; 'fold' or delete them first",
			   disk->name);
	pthread_mutex_unlock(&disk->disks->lock);
	if (r == 0 && !force && disk->scratch && scratch_is_dirty(disk->scratch))
		r = report(error, -EBUSY, "disk '%s' has changes in its scratch; 'reset' or 'commit' it first",
			   disk->name);
	return r;
}

/* What an unprotect by force gives up is not gone: the files wait in lost/ for whoever finds out that they were needed. */
static void give_up_layers(struct disk *disk)
{
	struct disks *disks = disk->disks;
	struct layer *layer;

	for (;;) {
		pthread_mutex_lock(&disks->lock);
		for (layer = disks->layers; layer; layer = layer->next)
			if (layer->parent && !layer->children && layer_is_below_locked(disk->root, layer))
				break;
		if (layer)
			layer_get_locked(layer);
		pthread_mutex_unlock(&disks->lock);
		if (!layer)
			return;
		if (layer_to_lost(layer) < 0 || layer_remove(layer) < 0) {
			log_warning(
				"layer %s of the disk '%s', which is no more, stays behind; the next start moves it to lost/",
				layer->record.id, disk->name);
			layer_put(layer);
			return;
		}
		layer_put(layer);
	}
}

int disk_unprotect(struct disks *disks, const char *name, bool force, struct sentence *error)
{
	struct disk *disk;
	int r;

	pthread_rwlock_wrlock(&disks->names);
	r = disk_claim_name(disks, name, &disk, error);
	if (r < 0) {
		pthread_rwlock_unlock(&disks->names);
		return r;
	}
	r = check_may_unprotect(disk, force, error);
	if (r == 0) {
		r = io_unlink(disk->directory, "disk.json");
		if (r == 0)
			r = io_sync_directory(disk->directory);
		if (r < 0)
			report(error, r, "disk '%s': its record cannot be removed: %s", name, error_text(r));
	}
	if (r == 0) {
		session_end(disk);
		if (disk->scratch && scratch_is_dirty(disk->scratch))
			scratch_to_lost(disk, "changes that were given up", NULL);
		disk_remove(disk);
		job_stop_fold(disk); /* of a side branch: the claim has stopped those of its own chain */
		give_up_layers(disk);
		layer_remove(disk->root);
		disk_remove_files(disk);
		log_info("disk '%s' is no longer protected; its image is served as it is", name);
	}
	disk_release_claim(disk);
	pthread_rwlock_unlock(&disks->names);
	return r;
}

/* --- properties ---------------------------------------------------------------------------------- */

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
		return report(error, -EINVAL,
			      "'%s' is no property; there are keep-revisions, leftover, durability, size and image",
			      key);
	}
	return 0;
}

/* Make the larger, empty layer's file and record: steps 2 and 3 of a seal (seal.c), with a file that qemu-img makes. */
static int make_larger_layer(struct disk *disk, struct layer *layer, struct sentence *error)
{
	CLEANUP(freep) char *file = layer_file_name(layer->record.id, LAYER_FILE_SUFFIX);
	CLEANUP(freep) char *record = layer_file_name(layer->record.id, LAYER_RECORD_SUFFIX);
	CLEANUP(freep) char *backing = layer_view_path(disk->head);
	struct disks *disks = disk->disks;
	CLEANUP(close_fdp) int fd = -1;
	struct template *template;
	int r;

	if (!file || !record || !backing)
		return report(error, -ENOMEM, "out of memory");
	fd = openat(disks->layers_fd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return report(error, -errno, "a larger layer cannot be made: %s", error_text(-errno));
	r = qemu_img_create(disks->options, fd, backing, format_name(disk->head->record.format),
			    layer->record.virtual_size, error);
	if (r == 0)
		r = layer_template(layer, &template, error);
	if (r < 0)
		return r;
	r = scratch_set_attributes(disk, fd);
	if (r == 0)
		r = io_sync(fd);
	/* A record without a file would keep everything that is not reached from being removed. */
	if (r == 0)
		r = io_sync_directory(disks->layers_fd);
	if (r == 0)
		r = record_save_layer(disks->layers_fd, record, &layer->record);
	return r < 0 ? report(error, r, "a larger layer cannot be made: %s", error_text(r)) : 0;
}

/* Growing is a commit of an empty layer with the new size; its fold makes the image grow. */
static int grow(struct disk *disk, uint64_t size, struct sentence *error)
{
	struct disk_record after = disk->record;
	struct disks *disks = disk->disks;
	struct layer *layer;
	int r;

	if (size < disk->head->record.virtual_size || size % 512)
		return report(error, -EINVAL, "disk '%s' can only grow, in steps of 512 bytes; it has %llu bytes",
			      disk->name, (unsigned long long)disk->head->record.virtual_size);
	if (size == disk->head->record.virtual_size)
		return 0;
	if (disk->scratch && scratch_is_dirty(disk->scratch))
		return report(error, -EBUSY, "disk '%s' has changes in its scratch; 'reset' or 'commit' it first",
			      disk->name);
	layer = layer_new(disks);
	if (!layer)
		return report(error, -ENOMEM, "out of memory");
	layer->record.virtual_size = size;
	strcpy(layer->record.parent, disk->head->record.id);
	strcpy(after.head, layer->record.id);
	after.follow = false; /* it has a layer of its own now */
	r = make_larger_layer(disk, layer, error);
	if (r == 0) {
		r = disk_save(disk, &after);
		if (r < 0)
			report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	}
	pthread_mutex_lock(&disks->lock);
	if (r == 0)
		layer_insert_locked(layer);
	pthread_mutex_unlock(&disks->lock);
	if (r == 0) {
		disk_set_head(disk, layer);
		r = scratch_renew(disk, layer, error);
	} else {
		layer_remove(layer);
	}
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
	return r < 0 ? r : grow(disk, size, error);
}

/* The administrator's word that a changed inode, size or time means nothing: a backup was put back, or somebody touched it. */
static int set_image(struct disk *disk, const char *value, struct sentence *error)
{
	struct layer_record record;
	int r = disk_check_idle(disk, error);

	if (r < 0)
		return r;
	if (strcmp(value, "unchanged") != 0)
		return report(error, -EINVAL, "image must be unchanged");
	pthread_mutex_lock(&disk->disks->records);
	record = disk->root->record;
	r = layer_check_image(disk->root, false, &record.stamp);
	if (r >= 0)
		r = layer_update(disk->root, &record);
	pthread_mutex_unlock(&disk->disks->records);
	if (r < 0)
		return report(error, r, "disk '%s': what its image looks like cannot be recorded: %s", disk->name,
			      error_text(r));
	log_warning("disk '%s': its image is taken for what it was, because somebody said so", disk->name);
	return 0;
}

int disk_set(struct disks *disks, const char *name, const char *key, const char *value, struct sentence *error)
{
	struct disk_record record;
	struct disk *disk;
	int r = disk_claim_name(disks, name, &disk, error);

	if (r < 0)
		return r;
	record = disk->record;
	if (strcmp(key, "size") == 0) {
		r = set_size(disk, value, error);
	} else if (strcmp(key, "image") == 0) {
		r = set_image(disk, value, error);
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
