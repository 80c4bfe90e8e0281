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
#include <sys/stat.h>

#include "command.h"
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

/*
 * What becomes of the file when the disk is given up. The image's name is quoted. A guest's bytes
 * are at the start of a raw image alone.
 */
static void say_what_then(const struct probe_look *look, bool raw, const char *image, struct sentence *ret_what)
{
	enum image_format format;

	if (!look->is_disk)
		report(ret_what, 0, "makes an ordinary file of it");
	else if (format_parse(look->like, &format) == 0)
		report(ret_what, 0, "and 'protect %s' begin anew with what is there", image);
	else if (!raw)
		report(ret_what, 0, "lets you convert it with qemu-img convert");
	else
		report(ret_what, 0,
		       "lets you convert it with qemu-img convert, or 'protect %s format=raw' if a guest wrote that",
		       image);
}

/* `same_size`: the guest of a raw disk may have written it; a guest changes no image's size. */
static int refuse(const struct disk *disk, const struct probe_look *look, bool same_size, struct sentence *error)
{
	const char *recorded = format_name(disk->root->record.format);
	const struct stake stake = find_stake(disk);
	bool raw = disk->root->record.format == FORMAT_RAW;
	struct sentence clone = { "" }, same = { "" }, then, quoted;
	const char *image = quote_name(stake.image, &quoted);

	if (stake.clone[0])
		report(&clone, 0, "remove its clones ('%s') with rm, then ", stake.clone);
	if (raw && same_size)
		report(&same, 0, "'set %s image=unchanged' if its guest wrote that; else ", image);
	say_what_then(look, raw, image, &then);
	return report(
		error, -EBUSY,
		"disk '%s': its image was changed outside revertfs and now looks like %s, but the disk is %s; nothing was done with it: "
		"%sput the %s image back, or %s'unprotect %s%s' %s",
		disk->name, look->like, recorded, same.text, look->is_disk ? "old" : "right", clone.text, image,
		stake.force ? " force=yes" : "", then.text);
}

static bool has_recorded_size(const struct layer *root, int fd)
{
	struct stat stat;
	uint64_t size = 0;

	LOCKED (&root->disks->lock)
		size = root->record.stamp.size;
	return fstat(fd, &stat) == 0 && (uint64_t)stat.st_size == size;
}

int other_format_refuse(const struct disk *disk, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = layer_open_file(disk->root, O_RDONLY);
	struct probe_look look;
	int r = fd < 0 ? fd : probe_look(fd, &look);

	if (r < 0)
		return report(error, r, "disk '%s': its image cannot be read: %s", disk->name, error_text(r));
	if (strcmp(look.like, format_name(disk->root->record.format)) == 0)
		return 0;
	return refuse(disk, &look, has_recorded_size(disk->root, fd), error);
}
