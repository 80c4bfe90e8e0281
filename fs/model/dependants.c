/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dependants.h"

#include "command.h"
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

static bool is_in_use_locked(const struct disk *disk)
{
	return disk_is_kept_open_locked(disk) || session_is_active_locked(disk);
}

/* Also what a session that is to be kept has not written yet. */
static bool is_kept_locked(const struct disk *disk)
{
	return disk->record.fate != FATE_DISCARD && disk->scratch &&
	       (scratch_looks_dirty_locked(disk->scratch) || is_in_use_locked(disk));
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

const char *dependant_reset_force(const struct disk *disk)
{
	return disk->record.keeps_data ? " force=yes" : "";
}

static bool tell_hold(const struct disk *disk, struct dependant *ret)
{
	struct sentence quoted;

	report(&ret->what, 0, "what the saved domain '%s' needs of the disk '%s' stands", disk->record.hold_domain,
	       disk->name);
	report(&ret->way, 0, "'reset %s force=yes' gives that up", quote_name(disk->name, &quoted));
	return true;
}

static bool tell_layers_locked(const struct layer *root, struct dependant *ret)
{
	const struct layer_record *record = &root->record;
	const struct disk *disk = find_layers_locked(root);
	struct sentence quoted, quoted_disk, quoted_name;

	if (disk)
		report(&ret->what, 0, "layers of the disk '%s' stand", disk->name);
	else if (root->children)
		report(&ret->what, 0, "layers that snapshots keep stand");
	else
		report(&ret->what, 0, "the snapshot '%s' of the disk '%s' stands", record->names[0].snapshot,
		       record->names[0].disk);
	if (disk || root->children)
		report(&ret->way, 0, "'set %s image=new' gives up all that stands on it, which goes to lost/",
		       quote_name(record->image, &quoted));
	else
		report(&ret->way, 0, "'delete %s %s' gives that up, 'set %s image=new' all that stands on it",
		       quote_name(record->names[0].disk, &quoted_disk),
		       quote_name(record->names[0].snapshot, &quoted_name), quote_name(record->image, &quoted));
	return true;
}

static size_t count_kept_locked(const struct layer *root)
{
	size_t count = 0;

	for (const struct disk *disk = root->disks->first; disk; disk = disk->next_disk)
		count += disk->root == root && is_kept_locked(disk);
	return count;
}

/* A reset of one of several is refused for the others. */
static bool tell_scratch_locked(const struct disk *disk, struct dependant *ret)
{
	struct sentence quoted;

	report(&ret->what, 0, "changes in the scratch of the disk '%s' stand", disk->name);
	if (count_kept_locked(disk->root) > 1)
		report(&ret->way, 0, "'set %s image=new' gives up all that stands on it, which goes to lost/",
		       quote_name(disk->root->record.image, &quoted));
	else
		report(&ret->way, 0, "'reset %s%s' gives them up", quote_name(disk->name, &quoted),
		       dependant_reset_force(disk));
	return true;
}

static bool tell_use(const struct disk *disk, struct dependant *ret)
{
	report(&ret->what, 0, "the disk '%s', which is in use, stands", disk->name);
	report(&ret->way, 0, "stopping its domain ends that");
	return true;
}

static bool tell_seal(struct dependant *ret)
{
	report(&ret->what, 0, "a layer that is just being made stands");
	report(&ret->way, 0, "trying again tells more");
	return true;
}

bool image_has_dependants_locked(const struct layer *root, const struct disk *except, bool replaced,
				 struct dependant *ret_dependant)
{
	struct dependant ignored, *ret = ret_dependant ? ret_dependant : &ignored;
	const struct disk *disk = find_hold_locked(root);

	if (disk)
		return tell_hold(disk, ret);
	if (root->children || root->record.name_count)
		return tell_layers_locked(root, ret);
	disk = find_scratch_locked(root, except, is_kept_locked);
	if (disk)
		return tell_scratch_locked(disk, ret);
	disk = replaced ? NULL : find_scratch_locked(root, except, is_in_use_locked);
	if (disk)
		return tell_use(disk, ret);
	return root->sealing ? tell_seal(ret) : false;
}
