/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An image becomes a disk, and a disk becomes an image again.
 *
 * Each verb is: claim the disk, check that it is idle, change files in an order that a crash cannot
 * hurt, then the memory.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clone.h"
#include "command.h"
#include "image.h"
#include "image_stamp.h"
#include "elsewhere.h"
#include "image_mark.h"
#include "io.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "new_disk.h"
#include "probe.h"
#include "qemu_img.h"
#include "renew.h"
#include "scratch.h"
#include "seal.h"
#include "session.h"
#include "table.h"
#include "transfer.h"
#include "claim.h"
#include "job.h"

/* The root layer of a new disk: format and size of its image, and the blank for scratches on it. */
static int make_root(struct disks *disks, const char *name, const char *format, struct layer **ret_root,
		     struct sentence *error)
{
	struct layer *root = layer_new(disks);
	struct blank *blank;
	struct sentence why;
	int r;

	if (!root || !(root->record.image = strdup(name))) {
		layer_put(root);
		return report(error, -ENOMEM, "out of memory");
	}
	r = probe_image(disks, name, format, &root->record, error);
	if (r == 0) {
		r = layer_blank(root, &blank, &why);
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
 * To be asked when the disk is in the table: from then on the mount opens the image for writing for
 * nobody, so a writer that is not found now, inside or outside the mount, cannot come later through
 * the mount.
 */
static int check_image_is_idle(struct layer *root, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_RDONLY);
	struct image_stamp stamp;

	if (fd < 0)
		return report(error, fd, "image '%s' cannot be opened: %s", root->record.image, error_text(fd));
	if (io_check_no_writer(fd) == -EBUSY)
		return report(error, -EBUSY, "image '%s' is open for writing; close it first", root->record.image);
	if (image_compare(root, false, &stamp) != IMAGE_SAME)
		return report(error, -EBUSY, "image '%s' was changed while it was being protected", root->record.image);
	return 0;
}

static int save_root(const struct layer *root, struct sentence *error)
{
	CLEANUP(freep) char *file = layer_file_name(root->record.id, LAYER_RECORD_SUFFIX);
	int r = file ? record_save_layer(&root->disks->state_guard, root->disks->layers_fd, file, &root->record)
		     : -ENOMEM;

	return r < 0 ? report(error, r, "disk '%s' cannot be recorded: %s", root->record.image, error_text(r)) : 0;
}

static int take_image(struct layer *root, struct sentence *error)
{
	int r = image_mark_take(root);

	if (r < 0)
		return report(error, r, "image '%s': its mark cannot be removed: %s", root->record.image,
			      error_text(r));
	elsewhere_forget(root->disks, root->record.image);
	return 0;
}

/* A scratch, and the records, for a disk that is in the table. */
static int complete_disk(struct disk *disk, bool force, struct sentence *error)
{
	int r = check_image_is_idle(disk->root, error);

	if (r == 0)
		r = force ? take_image(disk->root, error) : image_mark_check(disk->root, NULL, error);
	if (r == 0)
		r = scratch_replace(disk, disk->root, error);
	if (r == 0)
		r = save_root(disk->root, error);
	if (r == 0)
		r = new_disk_record(disk, false, error);
	if (r == 0)
		image_mark_drop(disk->root); /* ours, of layers that an unprotect gave up */
	return r;
}

/* With its name and its file claimed. */
static int make_disk(struct disks *disks, const char *name, struct layer *root, bool force, struct sentence *error)
{
	struct disk *disk;
	int r = image_check_owner(disks, name, root, &root->record.stamp, error);

	if (r < 0)
		return r;
	layer_insert(root);
	r = new_disk_insert(name, root, root, NULL, &disk, error);
	if (r < 0)
		return r;
	r = complete_disk(disk, force, error);
	/* What had the file before forgets it when this one has it for certain. */
	if (r == 0)
		r = image_claim_file(disks, name, root, &root->record.stamp, error);
	if (r < 0)
		new_disk_undo(disk);
	else
		disk_release_claim(disk);
	return r;
}

static int protect(struct disks *disks, const char *name, const char *format, bool force, struct sentence *error)
{
	struct disk *disk = disks_find(disks, name);
	struct layer *root = NULL;
	struct name_claim claim;
	int r = disk_check_new_name(name, error);

	if (disk) {
		disk_put(disk);
		return report(error, -EEXIST, "disk '%s' is protected already", name);
	}
	if (r == 0)
		r = make_root(disks, name, format, &root, error);
	if (r < 0 || !root)
		return r;
	claim = (struct name_claim){ .paths = { name },
				     .device = (dev_t)root->record.stamp.device,
				     .inode = (ino_t)root->record.stamp.inode,
				     .exclusive = true };
	r = new_disk_claim_name(disks, name, &claim, error);
	if (r < 0) {
		layer_put(root);
		return r;
	}
	r = make_disk(disks, name, root, force, error);
	if (r < 0)
		layer_remove(root);
	else
		log_info("disk '%s' is protected (%s, %llu bytes)", name, format_name(root->record.format),
			 (unsigned long long)root->record.virtual_size);
	name_claim_release(&claim);
	layer_put(root);
	return r;
}

int disk_protect(struct disks *disks, const char *name, const char *format, struct sentence *error)
{
	return protect(disks, name, format, false, error);
}

int disk_protect_by_force(struct disks *disks, const char *name, const char *format, struct sentence *error)
{
	return protect(disks, name, format, true, error);
}

/* The image as it is, and whose it is. */
static int check_image(struct disks *disks, const char *name, const char *format, struct layer *root,
		       struct sentence *error)
{
	int r = probe_image(disks, name, format, &root->record, error);

	if (r == 0)
		r = image_check_owner(disks, name, root, &root->record.stamp, error);
	if (r == 0)
		r = check_image_is_idle(root, error);
	return r == 0 ? image_mark_check(root, NULL, error) : r;
}

int disk_check_protect(struct disks *disks, const char *name, const char *format, struct sentence *error)
{
	int r = disk_check_new_name(name, error);
	struct layer *root;

	if (r < 0)
		return r;
	root = layer_new(disks);
	if (root && (root->record.image = strdup(name)))
		r = check_image(disks, name, format, root, error);
	else
		r = report(error, -ENOMEM, "out of memory");
	layer_put(root);
	return r;
}

static int check_may_unprotect(struct disk *disk, bool force, struct sentence *error)
{
	const struct disk *clone;
	struct sentence quoted;
	int r = disk_check_idle(disk, error);

	if (r == 0 && !force)
		r = disk_check_not_held(disk, error);
	if (r == 0 && disk->record.origin)
		r = report(error, -EINVAL, "disk '%s' is a clone; remove it with rm", disk->name);
	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->disks->lock);
	clone = disk_find_clone_locked(disk);
	if (clone)
		r = report(error, -EBUSY, "disk '%s' is the template of clone '%s'; remove its clones first",
			   disk->name, clone->name);
	else if (transfer_exists_locked(disk))
		r = report(error, -EBUSY,
			   "disk '%s' is being copied, or a copy of it is prepared; wait for that, or 'cancel' it",
			   disk->name);
	else if (disk->root->children && !force && image_shared_locked(disk->root))
		r = report(
			error, -EBUSY,
			"disk '%s' has layers that are not folded into its image, and the image lies on a filesystem (%s) that other hosts may see: 'export' it, or have revertfs started with images-are-mine=yes where no other host uses the images; force=yes gives the layers up",
			disk->name, image_shared_locked(disk->root));
	else if (disk->root->children && !force)
		r = report(
			error, -EBUSY,
			"disk '%s' has layers that are not folded into its image; 'fold' it, or 'unprotect %s force=yes' keeps them in lost/",
			disk->name, quote_name(disk->name, &quoted));
	pthread_mutex_unlock(&disk->disks->lock);
	if (r == 0 && !force && disk->scratch && scratch_is_dirty(disk->scratch))
		r = report(error, -EBUSY, "disk '%s' has changes in its scratch; 'reset' or 'commit' it first",
			   disk->name);
	return r < 0 ? r : disk_wait_for_all(disk, error);
}

int disk_unprotect(struct disks *disks, const char *name, bool force, struct sentence *error)
{
	struct name_claim claim = { .paths = { name }, .exclusive = true };
	struct disk *disk;
	int r = new_disk_claim_name(disks, name, &claim, error);

	if (r < 0)
		return r;
	r = disk_claim_name(disks, name, &disk, error);
	if (r < 0) {
		name_claim_release(&claim);
		return r;
	}
	r = check_may_unprotect(disk, force, error);
	if (r == 0)
		r = renew_keep_layers(disk->root, error);
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
		job_remove_disk(disk);
		renew_remove_layers(disk->root);
		layer_remove(disk->root);
		disk_remove_files(disk);
		log_info("disk '%s' is no longer protected; its image is served as it is", name);
	}
	disk_release_claim(disk);
	name_claim_release(&claim);
	return r;
}
