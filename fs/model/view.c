/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An open view is a pin on its layer, which jobs/foldable.c looks at before a fold begins.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "claim.h"
#include "layer.h"
#include "lock.h"
#include "log.h"

#define WRITE_BITS 0222

struct view {
	struct layer *layer;
};

static struct view *new_view_locked(struct layer *layer)
{
	struct view *view = layer ? calloc(1, sizeof(*view)) : NULL;

	if (view)
		view->layer = layer_get_locked(layer);
	return view;
}

static struct layer *find_image_locked(struct disks *disks, const char *name)
{
	struct layer *layer = disks->layers;

	while (layer && (!layer->record.image || strcmp(layer->record.image, name) != 0))
		layer = layer->next;
	return layer;
}

struct view *view_of_image(struct disks *disks, const char *name)
{
	struct view *view = NULL;

	LOCKED (&disks->lock)
		view = new_view_locked(find_image_locked(disks, name));
	return view;
}

struct view *view_of_layer(struct disks *disks, const char *id)
{
	struct view *view = NULL;

	LOCKED (&disks->lock) {
		struct layer *layer = layer_find_locked(disks, id);

		view = new_view_locked(layer && !layer->record.image ? layer : NULL);
	}
	return view;
}

void view_put(struct view *view)
{
	if (!view)
		return;
	layer_put(view->layer);
	free(view);
}

uint64_t view_serial(const struct view *view)
{
	return view->layer->serial;
}

const char *view_name(const struct view *view, bool *ret_is_image)
{
	const struct layer_record *record = &view->layer->record;

	*ret_is_image = record->image != NULL;
	return record->image ? record->image : record->id;
}

int view_stat(struct view *view, struct stat *ret_stat)
{
	struct layer *layer = view->layer;
	CLEANUP(close_fdp) int fd = layer_open_file(layer, O_PATH);

	if (fd < 0)
		return fd;
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	LOCKED (&layer->disks->lock)
		if (layer->labelled) {
			ret_stat->st_uid = layer->label_uid;
			ret_stat->st_gid = layer->label_gid;
			ret_stat->st_mode = (ret_stat->st_mode & S_IFMT) | layer->label_mode;
		}
	ret_stat->st_mode &= ~(mode_t)(WRITE_BITS | S_ISUID | S_ISGID | S_ISVTX);
	return 0;
}

void view_label(struct view *view, uid_t uid, gid_t gid, mode_t mode)
{
	struct layer *layer = view->layer;
	struct stat stat;

	if (view_stat(view, &stat) < 0)
		return;
	LOCKED (&layer->disks->lock) {
		layer->labelled = true;
		layer->label_uid = uid == (uid_t)-1 ? stat.st_uid : uid;
		layer->label_gid = gid == (gid_t)-1 ? stat.st_gid : gid;
		layer->label_mode = (mode == (mode_t)-1 ? stat.st_mode : mode) & 07777;
	}
}

int view_open(struct view *view, bool nonblock)
{
	struct layer *layer = view->layer;
	int fd, r = layer_pin(layer, nonblock);

	if (r < 0)
		return r;
	fd = layer_open_file(layer, O_RDONLY);
	if (fd < 0)
		view_close(view, -1);
	return fd;
}

int view_reopen(struct view *view)
{
	struct layer *layer = view->layer;
	int fd = layer_open_file(layer, O_RDONLY);

	if (fd < 0)
		return fd;
	LOCKED (&layer->disks->lock)
		layer->pins++;
	log_debug("disk", "layer %s: pinned, for a descriptor of the daemon before", layer->record.id);
	return fd;
}

void view_set_serial(struct view *view, uint64_t serial)
{
	LOCKED (&view->layer->disks->lock)
		view->layer->serial = serial;
}

void view_close(struct view *view, int fd)
{
	struct layer *layer = view->layer;

	close_fdp(&fd);
	log_debug("disk", "layer %s: unpinned", layer->record.id);
	LOCKED (&layer->disks->lock) {
		layer->pins--;
		pthread_cond_broadcast(&layer->disks->changed);
	}
}

void views_visit_layers(struct disks *disks, bool (*visit)(void *context, const char *id), void *context)
{
	char(*ids)[LAYER_ID_SIZE] = NULL;
	size_t count = 0, i = 0;

	pthread_mutex_lock(&disks->lock);
	for (const struct layer *layer = disks->layers; layer; layer = layer->next)
		count += !layer->record.image;
	ids = calloc(count + 1, sizeof(*ids));
	for (const struct layer *layer = disks->layers; layer && ids; layer = layer->next)
		if (!layer->record.image)
			strcpy(ids[i++], layer->record.id);
	pthread_mutex_unlock(&disks->lock);
	for (size_t k = 0; k < i && visit(context, ids[k]); k++)
		;
	free(ids);
}
