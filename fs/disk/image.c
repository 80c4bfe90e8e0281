/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A change outside the mount is found by inode, size and modification time.
 */
#include "image.h"

#include <errno.h>

#include "layer.h"
#include "log.h"
#include "other_format.h"
#include "probe.h"
#include "table.h"

int image_accept(struct layer *root)
{
	struct layer_record record;
	int r;

	pthread_mutex_lock(&root->disks->records);
	record = root->record;
	r = layer_check_image(root, true, &record.stamp);
	if (r >= 0)
		r = layer_update(root, &record);
	pthread_mutex_unlock(&root->disks->records);
	return r;
}

/* Whether anything stands on what the image was: layers, a hold, or a clone. */
static bool is_depended_on_locked(const struct disk *disk)
{
	if (disk->root->children || disk->hold)
		return true;
	for (const struct disk *other = disk->disks->first; other; other = other->next_disk)
		if (other != disk && other->root == disk->root)
			return true;
	return false;
}

static bool is_being_folded(struct disks *disks, const struct layer *root)
{
	bool folding = false;

	pthread_mutex_lock(&disks->lock);
	for (const struct layer *layer = disks->layers; layer && !folding; layer = layer->next)
		folding = layer->parent == root && layer->record.state == LAYER_FOLDING;
	pthread_mutex_unlock(&disks->lock);
	return folding;
}

/* The image was changed outside the mount, and nothing depends on what it was. */
static int take_new_content(struct disk *disk, const struct image_stamp *stamp, struct sentence *error)
{
	struct layer *root = disk->root;
	struct layer_record record = root->record;
	struct disks *disks = disk->disks;
	int r;

	r = probe_image(disks, root->record.image, format_name(root->record.format), &record, error);
	if (r < 0)
		return report_context(
			error, r, "disk '%s': its image was changed and cannot be taken as it is now: ", disk->name);
	if (record.virtual_size != root->record.virtual_size)
		layer_forget_blank(root);
	record.stamp = *stamp;
	pthread_mutex_lock(&disks->records);
	/* A clone may have given the root layer a name since the record was copied. */
	record.names = root->record.names;
	record.name_count = root->record.name_count;
	r = layer_update(root, &record);
	pthread_mutex_unlock(&disks->records);
	if (r < 0)
		return report(error, r, "disk '%s': that its image was changed cannot be recorded: %s", disk->name,
			      error_text(r));
	log_warning(
		"disk '%s': its image was changed outside revertfs; nothing depended on it, so the disk now begins with the new content",
		disk->name);
	return 0;
}

/*
 * The sentence says what stands on the old content, and the command that gives up no more than
 * that.
 */
static int refuse_changed(const struct disk *disk, bool layers, struct sentence *error)
{
	const char *what = layers ? "layers" : disk->hold ? "a saved guest's state" : "changes in the scratch";
	const char *verb = layers ? "unprotect" : "reset";
	const char *force = layers || disk->hold ? " force=yes" : "";

	return report(
		error, -EBUSY,
		"disk '%s': its image was changed outside revertfs, and %s stand%s on what it was; "
		"'set %s image=unchanged' says that it has the same content as ever, '%s %s%s' gives up what stands on it",
		disk->name, what, !layers && disk->hold ? "s" : "", disk->name, verb, disk->name, force);
}

/* Whether something besides the disk's hold stands on the image. */
static bool has_layers_locked(const struct disk *disk)
{
	return disk->root->children > (disk->hold && disk->hold->parent == disk->root ? 1U : 0U) ||
	       disk_find_clone_locked(disk);
}

int image_check(struct disk *disk, bool scratch_depends, struct sentence *error)
{
	struct layer *root = disk->root;
	struct image_stamp stamp;
	bool depends, layers;
	int r = layer_check_image(root, is_being_folded(disk->disks, root), &stamp);

	if (r < 0)
		return report(error, r, "disk '%s': its image cannot be reached: %s", disk->name, error_text(r));
	if (r == 0)
		return 0;
	r = other_format_refuse(disk, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->disks->lock);
	depends = is_depended_on_locked(disk);
	layers = has_layers_locked(disk);
	pthread_mutex_unlock(&disk->disks->lock);
	if (depends || scratch_depends)
		return refuse_changed(disk, layers, error);
	return take_new_content(disk, &stamp, error);
}
