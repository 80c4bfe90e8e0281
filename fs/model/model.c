/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * References to layers, disks and scratches, and what is freed with the last one.
 */
#include "model.h"

#include <stdlib.h>
#include <unistd.h>

#include "lock.h"

struct layer *layer_get_locked(struct layer *layer)
{
	layer->refs++;
	return layer;
}

void layer_put_locked(struct layer *layer)
{
	if (!layer || --layer->refs)
		return;
	layer_put_locked(layer->parent);
	blank_free(layer->blank);
	blank_free_list(layer->old_blanks);
	record_clear_layer(&layer->record);
	free(layer);
}

void layer_put(struct layer *layer)
{
	if (layer)
		LOCKED (&layer->disks->lock)
			layer_put_locked(layer);
}

void disk_free(struct disk *disk)
{
	close_fdp(&disk->directory);
	close_fdp(&disk->job.stop_fd);
	if (disk->session) {
		record_clear_session(disk->session);
		free(disk->session);
	}
	free(disk->record.origin);
	free(disk->scratch_name);
	free(disk->name);
	free(disk);
}

void disk_put_locked(struct disk *disk)
{
	if (--disk->refs)
		return;
	layer_put_locked(disk->root);
	layer_put_locked(disk->head);
	layer_put_locked(disk->hold);
	layer_put_locked(disk->next);
	disk_free(disk);
}

struct disk *disk_get(struct disk *disk)
{
	LOCKED (&disk->disks->lock)
		disk->refs++;
	return disk;
}

void disk_put(struct disk *disk)
{
	if (disk)
		LOCKED (&disk->disks->lock)
			disk_put_locked(disk);
}

static void hand_to_closer_locked(struct disks *disks, const struct scratch *scratch)
{
	struct closing *closing = malloc(sizeof(*closing));

	if (!closing) {
		close(scratch->fd);
		return;
	}
	*closing = (struct closing){ scratch->fd, scratch->stored ? scratch->serial : 0, disks->closing };
	disks->closing = closing;
	pthread_cond_broadcast(&disks->changed);
}

void scratch_put_locked(struct scratch *scratch)
{
	struct disk *disk;

	if (!scratch || --scratch->refs)
		return;
	disk = scratch->disk;
	layer_put_locked(scratch->layer);
	/*
	 * Closing the last descriptor of a large unlinked file frees its blocks, which takes long:
	 * a housekeeping thread does it, without the lock.
	 */
	hand_to_closer_locked(disk->disks, scratch);
	free(scratch);
	disk_put_locked(disk);
}

void scratch_put(struct scratch *scratch)
{
	if (scratch)
		LOCKED (&scratch->disk->disks->lock)
			scratch_put_locked(scratch);
}

struct scratch *scratch_get(struct scratch *scratch)
{
	LOCKED (&scratch->disk->disks->lock)
		scratch->refs++;
	return scratch;
}

bool disk_is_kept_open_locked(const struct disk *disk)
{
	return disk->scratch && (disk->scratch->readers || disk->scratch->writers);
}

bool disk_is_open_locked(const struct disk *disk)
{
	return disk_is_kept_open_locked(disk) || (disk->scratch && disk->scratch->onlookers.open);
}

bool scratch_looks_dirty_locked(const struct scratch *scratch)
{
	const struct blank *blank = scratch->layer->blank;
	struct stat stat;

	if (atomic_load(&scratch->touched))
		return true;
	return blank && fstat(scratch->fd, &stat) == 0 && !blank_matches(blank, &stat);
}
