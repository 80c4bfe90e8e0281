/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All disks of the image are claimed, in the order of their names. Whether the new image can be
 * taken is asked first; where nothing is left to be given up, an earlier try was cut short. Then
 *
 *   1. each scratch that was to be kept goes to lost/, and each layer gets a name there
 *   2. each disk's record has the root as its head, and no hold
 *   3. the layers are removed, the names of the root are dropped
 *   4. the root's record says what the image looks like now (image.c)
 *   5. each disk gets a fresh scratch
 *
 * A crash leaves some of this undone, and the image still changed: the command is given again, or
 * the next start of a domain finds that nothing stands on the old content any more.
 */
#include "renew.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "image.h"
#include "io.h"
#include "job.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "session.h"
#include "table.h"
#include "transfer.h"

/* The disks of one image: references, and claims from `claimed` on. */
struct family {
	struct disk **list;
	size_t count, claimed;
};

/* --- the disks -------------------------------------------------------------------------------- */

static void family_release(struct family *family)
{
	for (size_t i = 0; i < family->count; i++) {
		if (i < family->claimed)
			disk_unclaim(family->list[i]);
		disk_put(family->list[i]);
	}
	free(family->list);
}

static size_t count_locked(const struct layer *root)
{
	size_t count = 0;

	for (const struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
		count += disk->root == root;
	return count;
}

static int family_find(const struct disk *of, struct family *family)
{
	struct disks *disks = of->disks;

	LOCKED (&disks->lock) {
		family->list = calloc(count_locked(of->root) + 1, sizeof(struct disk *));
		for (struct disk *disk = disks->first; disk && family->list; disk = disk->next_disk) {
			if (disk->root != of->root)
				continue;
			disk->refs++;
			family->list[family->count++] = disk;
		}
	}
	return family->list ? 0 : -ENOMEM;
}

static int family_claim(struct family *family, const struct layer *root, struct sentence *error)
{
	size_t now = 0;

	for (; family->claimed < family->count; family->claimed++)
		if (disk_claim(family->list[family->claimed]) < 0)
			return report(error, -EBUSY, "disk '%s' was removed meanwhile; try again",
				      family->list[family->claimed]->name);
	/*
	 * A clone is made with a claim on another disk of the family, so that there are no more
	 * from here on.
	 */
	LOCKED (&root->disks->lock)
		now = count_locked(root);
	return now == family->count ? 0 : report(error, -EBUSY, "a clone of it was made meanwhile; try again");
}

static int check_idle(struct disk *disk, struct sentence *error)
{
	bool copied = false;
	int r = disk_check_idle(disk, error);

	if (r < 0)
		return r;
	LOCKED (&disk->disks->lock)
		copied = transfer_exists_locked(disk);
	if (copied)
		return report(error, -EBUSY, "disk '%s' is being copied; wait for that, or 'cancel' it", disk->name);
	return disk_wait_for_all(disk, error);
}

/* --- giving up -------------------------------------------------------------------------------- */

static int give_up_scratch(struct disk *disk, struct sentence *error)
{
	int r;

	if (!disk->scratch || !scratch_is_dirty(disk->scratch) || disk->record.fate == FATE_DISCARD)
		return 0;
	r = scratch_to_lost(disk, "changes that were given up", error);
	return r == 0 ? scratch_replace(disk, disk_base(disk), error) : r;
}

static int move_to_root(struct disk *disk, struct sentence *error)
{
	struct disk_record after = disk->record;
	int r;

	strcpy(after.head, disk->root->record.id);
	record_clear_hold(&after);
	after.fate = FATE_DISCARD;
	r = disk_save(disk, &after);
	if (r < 0)
		return report(error, r, "disk '%s': its record cannot be written: %s", disk->name, error_text(r));
	disk_set_hold(disk, NULL);
	disk_set_head(disk, disk->root);
	session_end(disk);
	return 0;
}

static struct layer *find_leaf(struct layer *root)
{
	struct disks *disks = root->disks;
	struct layer *layer = NULL;

	LOCKED (&disks->lock) {
		layer = disks->layers;
		while (layer && (!layer->parent || layer->children || !layer_is_below_locked(root, layer)))
			layer = layer->next;
		if (layer)
			layer_get_locked(layer);
	}
	return layer;
}

/* The layer above the root behind `previous` (NULL: the first) in the list: a reference. */
static struct layer *next_layer(struct layer *root, struct layer *previous)
{
	struct layer *layer = NULL;

	LOCKED (&root->disks->lock) {
		layer = previous ? previous->next : root->disks->layers;
		while (layer && (layer == root || !layer_is_below_locked(root, layer)))
			layer = layer->next;
		if (layer)
			layer_get_locked(layer);
		layer_put_locked(previous);
	}
	return layer;
}

int renew_keep_layers(struct layer *root, struct sentence *error)
{
	struct layer *layer = next_layer(root, NULL);
	bool any = layer != NULL;
	int r = 0;

	for (; layer && r == 0; layer = next_layer(root, layer)) {
		r = layer_keep_in_lost(layer);
		if (r < 0)
			report(error, r, "layer %s of the image '%s' cannot be kept in lost/: %s", layer->record.id,
			       root->record.image, error_text(r));
	}
	layer_put(layer);
	if (r < 0 || !any)
		return r;
	r = io_sync_directory(root->disks->lost_fd);
	return r < 0 ? report(error, r, "lost/, where layers of the image '%s' are kept, cannot be synced: %s",
			      root->record.image, error_text(r))
		     : 0;
}

int renew_remove_layers(struct layer *root)
{
	struct layer *layer;
	int r = 0;

	while (r == 0 && (layer = find_leaf(root))) {
		r = layer_remove(layer);
		if (r < 0)
			log_warning("layer %s of the image '%s', which was given up, stays behind: %s",
				    layer->record.id, root->record.image, error_text(r));
		layer_put(layer);
	}
	return r < 0 ? -EIO : 0;
}

static int drop_names(struct layer *root, struct sentence *error)
{
	int r = 0;

	while (r == 0 && root->record.name_count)
		r = layer_drop_name(root, root->record.names[0].disk, root->record.names[0].snapshot);
	return r < 0 ? report(error, r, "the snapshots of the image '%s' cannot be removed: %s", root->record.image,
			      error_text(r))
		     : 0;
}

static int give_up(struct family *family, struct layer *root, struct sentence *error)
{
	int r = 0;

	for (size_t i = 0; i < family->count && r == 0; i++)
		r = check_idle(family->list[i], error);
	for (size_t i = 0; i < family->count && r == 0; i++)
		r = give_up_scratch(family->list[i], error);
	if (r == 0)
		r = renew_keep_layers(root, error);
	for (size_t i = 0; i < family->count && r == 0; i++)
		r = move_to_root(family->list[i], error);
	if (r == 0 && renew_remove_layers(root) < 0)
		r = report(error, -EIO, "not all layers of the image '%s' can be removed; see the log",
			   root->record.image);
	for (size_t i = 0; i < family->count && r == 0; i++)
		job_end_empty(family->list[i]);
	return r == 0 ? drop_names(root, error) : r;
}

static int begin_anew(struct family *family, struct disk *first, struct sentence *error)
{
	int r = image_take(first, error);

	for (size_t i = 0; i < family->count && r == 0; i++) {
		r = scratch_replace(family->list[i], first->root, error);
		if (r < 0)
			report_context(error, r, "disk '%s': ", family->list[i]->name);
	}
	return r;
}

int renew_image(struct disks *disks, const char *name, struct sentence *error)
{
	CLEANUP(family_release) struct family family = { 0 };
	struct disk *disk = disks_find(disks, name);
	int r;

	if (!disk || !disk->root) {
		disk_put(disk);
		return report(error, -ENOENT, "there is no disk '%s' that could be read; see the status", name);
	}
	r = family_find(disk, &family);
	if (r < 0)
		report(error, r, "out of memory");
	else
		r = family_claim(&family, disk->root, error);
	if (r == 0)
		r = image_check_new(disk, error);
	if (r == 0)
		r = give_up(&family, disk->root, error);
	if (r == 0)
		r = begin_anew(&family, disk, error);
	if (r == 0)
		log_warning("disk '%s': its image is new, as 'set image=new' said; nothing stands on what it was",
			    name);
	disk_put(disk);
	return r;
}
