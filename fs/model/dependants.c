/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dependants.h"

#include "layer.h"
#include "session.h"

static bool has_layers_locked(const struct disk *disk, const struct layer *root)
{
	return disk->root == root && ((disk->head && disk->head != root) || (disk->hold && disk->hold != root));
}

/* The image's own disk, or else a clone, with layers; NULL where they are kept by names alone. */
static const struct disk *find_layers_locked(const struct layer *root)
{
	const struct disk *found = NULL;

	for (const struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
		if (has_layers_locked(disk, root) && (!found || !disk->record.origin))
			found = disk;
	return found;
}

static bool is_kept_locked(const struct disk *disk)
{
	return disk->record.fate != FATE_DISCARD && disk->scratch && scratch_looks_dirty_locked(disk->scratch);
}

static bool is_in_use_locked(const struct disk *disk)
{
	return disk_is_kept_open_locked(disk) || session_is_active_locked(disk);
}

static const struct disk *find_hold_locked(const struct layer *root)
{
	const struct disk *disk = root->disks->first;

	while (disk && (disk->root != root || !disk->hold))
		disk = disk->next_disk;
	return disk;
}

static const struct disk *find_scratch_locked(const struct layer *root, const struct disk *except,
					      bool (*depends)(const struct disk *disk))
{
	const struct disk *disk = root->disks->first;

	while (disk && (disk->root != root || disk == except || !depends(disk)))
		disk = disk->next_disk;
	return disk;
}

bool image_has_dependants_locked(const struct layer *root, const struct disk *except, bool replaced,
				 struct sentence *ret_what)
{
	const struct layer_record *record = &root->record;
	const struct disk *disk = find_hold_locked(root);

	if (disk) {
		report(ret_what, 0, "what the saved domain '%s' needs of the disk '%s'", disk->record.hold_domain,
		       disk->name);
		return true;
	}
	if (root->children) {
		disk = find_layers_locked(root);
		if (disk)
			report(ret_what, 0, "layers of the disk '%s'", disk->name);
		else
			report(ret_what, 0, "layers that snapshots keep");
		return true;
	}
	if (record->name_count) {
		report(ret_what, 0, "the snapshot '%s' of the disk '%s'", record->names[0].snapshot,
		       record->names[0].disk);
		return true;
	}
	disk = find_scratch_locked(root, except, is_kept_locked);
	if (disk) {
		report(ret_what, 0, "changes in the scratch of the disk '%s'", disk->name);
		return true;
	}
	disk = replaced ? NULL : find_scratch_locked(root, except, is_in_use_locked);
	if (disk) {
		report(ret_what, 0, "the disk '%s', which is in use", disk->name);
		return true;
	}
	if (root->sealing)
		report(ret_what, 0, "a layer that is being made; try again");
	return root->sealing > 0;
}
