/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The housekeeper closes old scratches, which frees their blocks, makes the blank for each disk's
 * next layer, and starts write-back. It serves all disks, so nothing is done here that waits for
 * one user's files or for a command (loose.h).
 *
 * It waits for disks->changed; the tick is for write-back, which nothing announces.
 */
#include "housekeeper.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fdstore.h"
#include "layer.h"
#include "lock.h"
#include "log.h"
#include "scratch.h"

#define TICK_S 2

static void drop_from_store(uint64_t serial)
{
	CLEANUP(freep) char *name = scratch_store_name(serial);

	if (name)
		fdstore_drop(name);
}

static void close_files(struct closing *list)
{
	unsigned count = 0;

	while (list) {
		struct closing *next = list->next;

		close(list->fd);
		if (list->stored)
			drop_from_store(list->stored);
		free(list);
		list = next;
		count++;
	}
	log_debug("job", "%u old files are closed, which frees their blocks", count);
}

/* Whether there was anything to close. */
static bool close_old_files_locked(struct disks *disks)
{
	struct closing *list = disks->closing;

	if (!list)
		return false;
	disks->closing = NULL;
	pthread_mutex_unlock(&disks->lock);
	close_files(list);
	pthread_mutex_lock(&disks->lock);
	return true;
}

/* The layer is the disk's next one, unless the disk has got one or was removed meanwhile. */
static bool give_next(struct disk *disk, struct layer *layer)
{
	bool given = false;

	LOCKED (&disk->disks->lock) {
		given = layer->blank && !disk->next && !disk->removed;
		if (given)
			disk->next = layer;
	}
	return given;
}

/*
 * The layer that the disk's next seal will make: an id and a blank, so that the seal need not start
 * a process.
 */
static void make_next(struct disk *disk, uint64_t virtual_size)
{
	struct layer *layer = layer_new(disk->disks);
	struct blank *blank;
	struct sentence error;

	if (!layer)
		return;
	layer->record.virtual_size = virtual_size;
	if (layer_blank(layer, &blank, &error) < 0)
		log_warning("disk '%s': a template cannot be made ahead, the next commit will make it: %s", disk->name,
			    error.text);
	if (give_next(disk, layer)) {
		log_debug("job", "'%s': the blank of its next layer is made ahead", disk->name);
		return;
	}
	if (layer->blank)
		layer_forget_blank(layer);
	layer_put(layer);
}

static struct disk *next_without_blank_locked(struct disks *disks)
{
	for (struct disk *disk = disks->first; disk; disk = disk->next_disk) {
		if (!disk->wants_next || !disk->head)
			continue;
		disk->wants_next = false;
		if (!disk->next)
			return disk;
	}
	return NULL;
}

/* Whether a disk wanted one. */
static bool make_blank_locked(struct disks *disks)
{
	struct disk *disk = next_without_blank_locked(disks);
	uint64_t virtual_size;

	if (!disk)
		return false;
	virtual_size = disk_base(disk)->record.virtual_size;
	disk->refs++;
	pthread_mutex_unlock(&disks->lock);
	make_next(disk, virtual_size);
	pthread_mutex_lock(&disks->lock);
	disk_put_locked(disk);
	return true;
}

static struct timespec next_tick(void)
{
	struct timespec tick;

	clock_gettime(CLOCK_MONOTONIC, &tick);
	tick.tv_sec += TICK_S;
	return tick;
}

void *housekeeper_run(void *context)
{
	struct disks *disks = context;
	struct timespec until = next_tick();

	pthread_mutex_lock(&disks->lock);
	while (!disks->stopping) {
		if (close_old_files_locked(disks) || make_blank_locked(disks))
			continue;
		if (pthread_cond_timedwait(&disks->changed, &disks->lock, &until) == ETIMEDOUT) {
			pthread_mutex_unlock(&disks->lock);
			scratch_write_back(disks);
			until = next_tick();
			pthread_mutex_lock(&disks->lock);
		}
	}
	close_old_files_locked(disks);
	pthread_mutex_unlock(&disks->lock);
	return NULL;
}
