/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An earlier build, or a QEMU that was taken back, left blanks with subclusters;
 * qemu/blank_options.c says why this QEMU is not to have them. The image's own blank would stay for
 * as long as the disk reverts to it.
 *
 * A blank is made anew only where each scratch on the layer is as it was made, nobody has it open
 * and nothing in it is to be kept: then nothing is lost with the scratch. Any other start may find
 * that.
 * After a crash in between the header of a scratch is another than its blank's, and the next start
 * replaces it (load_scratch.c).
 */
#include "load_blanks.h"

#include <sys/stat.h>

#include "layer.h"
#include "log.h"
#include "scratch.h"
#include "table.h"

static bool is_fresh(const struct disk *disk)
{
	struct stat stat;

	return disk->scratch && disk->state == DISK_PRISTINE && !disk->session && disk->record.fate == FATE_DISCARD &&
	       !scratch_is_dirty(disk->scratch) && fstat(disk->scratch->fd, &stat) == 0 &&
	       !handover_has_open(disk->disks->handover, stat.st_dev, stat.st_ino);
}

static bool may_be_renewed(const struct disks *disks, const struct layer *layer)
{
	bool used = false;

	if (!layer->blank || !qcow2_has_subclusters(blank_header(layer->blank)))
		return false;
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk) {
		if (!disk->head || disk_base(disk) != layer)
			continue;
		if (!is_fresh(disk))
			return false;
		used = true;
	}
	return used;
}

static void renew(struct disks *disks, struct layer *layer)
{
	struct sentence why;
	int r = layer_renew_blank(layer, &why);

	if (r < 0) {
		log_warning("layer %s goes on with subclusters, of which QEMU may die: %s", layer->record.id, why.text);
		return;
	}
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk) {
		if (!disk->head || disk_base(disk) != layer)
			continue;
		r = scratch_replace(disk, layer, &why);
		if (r < 0) {
			report_context(&why, r, "disk '%s' cannot be served until a reset succeeds: ", disk->name);
			disk_fail(disk, &why);
		}
		log_debug("disk", "start: '%s': a scratch without subclusters", disk->name);
	}
}

void load_blanks(struct disks *disks)
{
	for (struct layer *layer = disks->options->renew_blanks ? disks->layers : NULL; layer; layer = layer->next)
		if (may_be_renewed(disks, layer))
			renew(disks, layer);
}
