/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image_owner.h"

#include <fcntl.h>
#include <string.h>

#include "dependants.h"
#include "file.h"
#include "image_stamp.h"
#include "layer.h"
#include "lock.h"
#include "table.h"

/* --- candidates: what can be told without asking the filesystem ------------------------------- */

static bool may_be_image_locked(const struct disk *disk, const struct image_stamp *stamp, const struct layer *but)
{
	const struct image_stamp *own = disk->root ? &disk->root->record.stamp : NULL;

	return own && disk->root != but && !disk->record.origin && own->inode == stamp->inode &&
	       (own->device == stamp->device || own->identity[0]) &&
	       (!stamp->identity[0] || !own->identity[0] || strcmp(own->identity, stamp->identity) == 0);
}

/* Behind `previous`, whose reference is given up. */
static struct disk *next_candidate(struct disks *disks, const struct image_stamp *stamp, const struct layer *but,
				   struct disk *previous, struct image_stamp *ret_own)
{
	struct disk *disk = NULL;

	LOCKED (&disks->lock) {
		disk = disks->first;
		while (disk && ((previous && strcmp(disk->name, previous->name) <= 0) ||
				!may_be_image_locked(disk, stamp, but)))
			disk = disk->next_disk;
		if (disk) {
			disk->refs++;
			*ret_own = disk->root->record.stamp;
		}
		if (previous)
			disk_put_locked(previous);
	}
	return disk;
}

/* --- deciding --------------------------------------------------------------------------------- */

static bool has_its_name(const struct layer *root, const struct image_stamp *stamp)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_PATH);
	struct stat st;

	return fd >= 0 && file_look(fd, "", &st) == 0 && st.st_ino == stamp->inode && st.st_dev == stamp->device;
}

static bool is_needed(const struct layer *root)
{
	bool needed = false;

	LOCKED (&root->disks->lock)
		needed = image_has_dependants_locked(root, NULL, false, NULL);
	return needed;
}

struct disk *disks_find_image(struct disks *disks, const struct image_stamp *stamp, const struct layer *but,
			      bool *ret_moved)
{
	struct image_stamp own;
	struct disk *disk = next_candidate(disks, stamp, but, NULL, &own);

	for (; disk; disk = next_candidate(disks, stamp, but, disk, &own)) {
		*ret_moved = !has_its_name(disk->root, stamp);
		if (!*ret_moved || (own.identity[0] && stamp->identity[0] && is_needed(disk->root)))
			return disk;
	}
	return NULL;
}

struct disk *disks_step_identity(struct disks *disks, const struct image_stamp *stamp, const struct layer *but,
				 struct disk *previous)
{
	struct image_stamp own = { 0 };
	struct disk *disk = next_candidate(disks, stamp, but, previous, &own);

	while (disk && (!own.identity[0] || !stamp->identity[0]))
		disk = next_candidate(disks, stamp, but, disk, &own);
	return disk;
}

struct disk *disks_find_file(struct disks *disks, int fd, dev_t device, ino_t inode)
{
	struct image_stamp stamp = { .device = device, .inode = inode }, own;
	struct disk *disk = next_candidate(disks, &stamp, NULL, NULL, &own);
	bool moved;

	/* Where it cannot be told, the file is kept from being changed. */
	if (!disk || image_stamp_file(fd, &stamp) < 0)
		return disk;
	disk_put(disk);
	return disks_find_image(disks, &stamp, NULL, &moved);
}
