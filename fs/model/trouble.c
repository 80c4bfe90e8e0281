/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * It is told from the record, for whoever asks must not wait for the images' filesystem.
 */
#include "trouble.h"

#include "command.h"
#include "layer.h"
#include "lock.h"

bool trouble_of_image_locked(const struct layer *root, struct sentence *ret_what)
{
	const char *image = root->record.image;
	struct sentence path, quoted_path, quoted;

	report(&path, 0, "%s/%s", root->disks->options->images, image);
	switch (root->record.trouble) {
	case TROUBLE_CORRUPT:
		report(ret_what, 0,
		       "image '%s' is marked corrupt: QEMU does not open it for writing, and nothing is folded into it; "
		       "mend it ('qemu-img check -r all %s'), then 'set %s image=unchanged'",
		       image, quote_name(path.text, &quoted_path), quote_name(image, &quoted));
		return true;
	case TROUBLE_BITMAP:
		report(ret_what, 0,
		       "image '%s' has a bitmap in use: a QEMU writes to it, or died with it; nothing is folded into it; "
		       "remove the bitmap ('qemu-img info' names it, 'qemu-img bitmap --remove %s BITMAP'), then 'set %s image=unchanged'",
		       image, quote_name(path.text, &quoted_path), quote_name(image, &quoted));
		return true;
	case TROUBLE_NONE:
		break;
	}
	return false;
}

bool trouble_of_disk(const struct disk *disk, struct sentence *ret_what)
{
	bool is = false;

	LOCKED (&disk->disks->lock)
		is = disk->root && trouble_of_image_locked(disk->root, ret_what);
	return is;
}

bool trouble_known_locked(const struct disk *disk, struct sentence *ret_what)
{
	if (disk->root && trouble_of_image_locked(disk->root, ret_what))
		return true;
	*ret_what = disk->refusal;
	return disk->refusal.text[0];
}

int trouble_note(struct layer *root, enum image_trouble trouble)
{
	struct layer_record record;
	int r = 0;

	LOCKED (&root->disks->records) {
		record = root->record;
		if (record.trouble != trouble) {
			record.trouble = trouble;
			r = layer_update(root, &record);
		}
	}
	return r;
}
