/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose bytes are at the start of a raw image? After a fold they are the guest's, who may write any
 * header there: the disk stays raw, and nobody asks. A change outside revertfs may be a download
 * that has put a qcow2 file in the place of an empty one. Taken as raw, the guest would see the
 * file's own bytes, and a fold would write over its header. Nothing in the file tells the two
 * apart, so it is neither taken nor written, and the administrator says what it is.
 */
#include "other_format.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "layer.h"
#include "lock.h"
#include "probe.h"
#include "scratch.h"
#include "table.h"

/* What has to be given up with the image. */
struct stake {
	char image[NAME_MAX + 1]; /* the disk whose image it is: a clone stands on another's */
	char clone[NAME_MAX + 1]; /* one of its clones; "" where there is none */
	bool force;               /* it has layers, a hold or changes */
};

static const struct disk *owner_locked(const struct disk *disk)
{
	for (const struct disk *other = disk->disks->first; other; other = other->next_disk)
		if (other->root == disk->root && !other->record.origin)
			return other;
	return disk;
}

static struct stake find_stake(const struct disk *disk)
{
	struct stake stake = { .force = false };

	LOCKED (&disk->disks->lock) {
		const struct disk *owner = owner_locked(disk), *clone = disk_find_clone_locked(owner);

		snprintf(stake.image, sizeof(stake.image), "%s", owner->name);
		snprintf(stake.clone, sizeof(stake.clone), "%s", clone ? clone->name : "");
		stake.force = owner->root->children || owner->hold ||
			      (owner->scratch && scratch_looks_dirty_locked(owner->scratch));
	}
	return stake;
}

static int refuse(const struct disk *disk, const struct probe_look *look, struct sentence *error)
{
	const char *recorded = format_name(disk->root->record.format);
	const struct stake stake = find_stake(disk);
	struct sentence clone = { "" }, same = { "" };
	enum image_format format;

	if (stake.clone[0])
		report(&clone, 0, "remove its clones ('%s') with rm, then ", stake.clone);
	if (disk->root->record.format == FORMAT_RAW)
		report(&same, 0, "'set %s image=unchanged' if its guest wrote that; else ", stake.image);
	return report(
		error, -EBUSY,
		"disk '%s': its image was changed outside revertfs and now looks like %s, but the disk is %s; nothing was done with it: "
		"%sput the old image back, or %s'unprotect %s%s' and 'protect %s%s' begin anew with what is there",
		disk->name, look->like, recorded, same.text, clone.text, stake.image, stake.force ? " force=yes" : "",
		stake.image, format_parse(look->like, &format) == 0 ? "" : " format=raw");
}

int other_format_refuse(const struct disk *disk, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(disk->root, O_RDONLY);
	struct probe_look look;
	int r = fd < 0 ? fd : probe_look(fd, &look);

	if (r < 0)
		return report(error, r, "disk '%s': its image cannot be read: %s", disk->name, error_text(r));
	return strcmp(look.like, format_name(disk->root->record.format)) == 0 ? 0 : refuse(disk, &look, error);
}
