/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "new_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "io.h"
#include "job.h"
#include "lock.h"
#include "table.h"

static int fill(struct disk *disk, struct layer *root, struct layer *head, const char *origin)
{
	LOCKED (&disk->disks->lock) {
		disk->root = layer_get_locked(root);
		disk->head = layer_get_locked(head);
	}
	disk->record.origin = origin ? strdup(origin) : NULL;
	return origin && !disk->record.origin ? -ENOMEM : 0;
}

int new_disk_claim_name(struct disks *disks, const char *name, struct name_claim *claim, struct sentence *error)
{
	int r = name_claim_take(&disks->names, claim);

	return r < 0 ? report(error, r,
			      "'%s', or something above or beneath it, is being changed, and that takes too long; its filesystem may hang",
			      name)
		     : 0;
}

int new_disk_insert(const char *name, struct layer *root, struct layer *head, const char *origin,
		    struct disk **ret_disk, struct sentence *error)
{
	int r;
	struct disk *disk = disk_new(head->disks, name, &r, error);

	if (!disk)
		return r;
	r = fill(disk, root, head, origin);
	if (r == 0)
		r = disk_insert(disk);
	if (r == 0) {
		*ret_disk = disk;
		return 0;
	}
	/* Its directory stays: a disk that has the name has the directory too. */
	disk_put(disk);
	return r == -EEXIST ? report(error, r, "'%s' is a disk already, or a directory of another disk's name", name)
			    : report(error, r, "disk '%s' cannot be made: %s", name, error_text(r));
}

int new_disk_record(struct disk *disk, bool follow, struct sentence *error)
{
	struct disk_record record = { .follow = follow, .origin = disk->record.origin };
	int r;

	strcpy(record.head, disk->head->record.id);
	r = disk_save(disk, &record);
	if (r == 0)
		r = io_sync_directory(disk->disks->disks_fd);
	return r < 0 ? report(error, r, "disk '%s' cannot be recorded: %s", disk->name, error_text(r)) : 0;
}

void new_disk_undo(struct disk *disk)
{
	job_remove_disk(disk);
	disk_remove_files(disk);
	disk_release_claim(disk);
}
