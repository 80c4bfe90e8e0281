/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * That a file was closed does not tell how: a QEMU that is killed closes it too. But libvirt knows
 * why the domain ended, and the hook passes that on for domains without a file as well.
 */
#include "unhooked.h"

#include <string.h>

#include "claim.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"
#include "table.h"

static struct disk *find_disk(struct disks *disks, const char *source)
{
	const char *mount = disks->options->mount;

	if (!source || !path_is_beneath(source, mount) || strcmp(source, mount) == 0)
		return NULL;
	return disks_find(disks, source + strlen(mount) + 1);
}

/* The disk is claimed: nobody opens it meanwhile. */
static int note(struct disk *disk)
{
	struct disk_record after = disk->record;

	if (disk->session || !disk->scratch || after.fate != FATE_UNHOOKED || after.fate_clean ||
	    disk_wait_for_writers(disk, NULL) < 0 || !scratch_is_dirty(disk->scratch))
		return 0;
	after.fate_clean = true;
	return disk_save(disk, &after);
}

void unhooked_note_clean(struct disks *disks, const struct session_request *request)
{
	for (size_t i = 0; i < request->count; i++) {
		struct disk *disk = request->items[i].unhooked ? find_disk(disks, request->items[i].source) : NULL;
		int r = disk ? disk_claim(disk) : 0;

		if (disk && r == 0) {
			r = note(disk);
			disk_unclaim(disk);
		}
		if (r < 0)
			log_warning("disk '%s': that its guest was shut down cannot be recorded: %s", disk->name,
				    error_text(r));
		disk_put(disk);
	}
}
