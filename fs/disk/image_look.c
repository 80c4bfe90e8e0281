/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image_look.h"

#include "claim.h"
#include "image.h"
#include "lock.h"
#include "session.h"
#include "table.h"

/* Where the image hangs, one thread hangs with it, and no other comes to it. */
static bool begin_looking(struct layer *root)
{
	bool begins = false;

	LOCKED (&root->disks->lock) {
		begins = !root->looked_at;
		root->looked_at = true;
	}
	return begins;
}

static void end_looking(struct layer *root)
{
	LOCKED (&root->disks->lock)
		root->looked_at = false;
}

/* A release of its session would wait for the claim. */
static bool is_in_use(const struct disk *disk)
{
	bool is = false;

	LOCKED (&disk->disks->lock)
		is = disk_is_kept_open_locked(disk) || session_is_active_locked(disk);
	return is;
}

void image_look(struct disk *disk)
{
	if (is_in_use(disk) || disk_claim_idle(disk) < 0)
		return;
	if (disk->root && begin_looking(disk->root)) {
		image_would_be_refused(disk, image_scratch_stands(disk), NULL);
		end_looking(disk->root);
	}
	disk_unclaim(disk);
}

void images_look(struct disks *disks)
{
	for (struct disk *disk = disks_step(disks, NULL); disk; disk = disks_step(disks, disk))
		image_look(disk);
}
