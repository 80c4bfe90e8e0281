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

#include "access.h"
#include "claim.h"
#include "command.h"
#include "image_stamp.h"
#include "layer.h"
#include "layer_header.h"
#include "lock.h"
#include "log.h"

#define WRITE_BITS 0222

struct view {
	struct layer *layer;
	uint64_t serial, contents; /* of the layer, when the view was made */
};

static struct view *new_view_locked(struct layer *layer)
{
	struct view *view = layer ? calloc(1, sizeof(*view)) : NULL;

	if (view)
		*view = (struct view){ .layer = layer_get_locked(layer),
				       .serial = layer->serial,
				       .contents = layer->record.contents };
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

struct view *view_of_name(struct disks *disks, const char *name)
{
	struct view *view = NULL;

	LOCKED (&disks->lock)
		view = new_view_locked(layer_find_view_locked(disks, name));
	return view;
}

void view_put(struct view *view)
{
	if (!view)
		return;
	layer_put(view->layer);
	free(view);
}

struct layer *view_layer(const struct view *view)
{
	return view->layer;
}

uint64_t view_serial(const struct view *view)
{
	return view->serial;
}

uint64_t view_contents(const struct view *view)
{
	return view->contents;
}

static bool is_current(const struct view *view)
{
	bool current = false;

	LOCKED (&view->layer->disks->lock)
		current = view->contents == view->layer->record.contents;
	return current;
}

dev_t view_device(const struct view *view)
{
	struct layer *layer = view->layer;
	dev_t device = 0;

	LOCKED (&layer->disks->lock)
		device = (dev_t)layer->record.stamp.device;
	return device;
}

const char *view_name(const struct view *view, bool *ret_is_image)
{
	const struct layer_record *record = &view->layer->record;

	*ret_is_image = record->image != NULL;
	return record->image ? record->image : record->id;
}

/* What was seen of the image; nobody but root reads one that never was. */
static struct stat image_locked(const struct layer *root)
{
	struct stat stat = root->seen;

	if (!stat.st_nlink) {
		stat.st_mode = S_IFREG | S_IRUSR;
		stat.st_size = (off_t)root->record.stamp.size;
		stat.st_mtim = root->record.stamp.modified;
	}
	return stat;
}

/* A layer holds what was read from its image and more, so its view is as hard to reach. */
static void lessen_by_image_locked(const struct layer *layer, struct stat *stat)
{
	const struct layer *root = layer;
	struct stat image;

	while (root->parent)
		root = root->parent;
	if (root == layer)
		return;
	image = image_locked(root);
	access_lessen(stat, &image);
}

static bool stands_on_locked(const struct disk *disk, const struct layer *layer)
{
	return disk->head && disk->scratch && layer_is_below_locked(layer, disk_base(disk));
}

/* How much the owner of a disk's scratch has to be the one that is shown; 0: not at all. */
static unsigned need_locked(const struct disk *disk, const struct stat *scratch, const struct stat *shown)
{
	if (disk->session)
		return 4;
	if (!(shown->st_mode & S_IRUSR))
		return scratch->st_uid ? 3 : 2;
	return scratch->st_uid && !shown->st_uid ? 1 : 0;
}

/*
 * Whoever owns a disk that stands on the layer may read what is below it. There is one owner to
 * show: that of a disk in a session before any other, and whoever may read the file already before
 * others without a session, unless he is root, who can read it as he is.
 */
static void show_owner_of_disk_locked(const struct layer *layer, struct stat *shown)
{
	struct stat scratch, chosen = { 0 };
	unsigned most = 0;

	for (const struct disk *disk = layer->disks->first; disk; disk = disk->next_disk) {
		unsigned need = stands_on_locked(disk, layer) && fstat(disk->scratch->fd, &scratch) == 0
					? need_locked(disk, &scratch, shown)
					: 0;

		if (need > most) {
			most = need;
			chosen = scratch;
		}
	}
	if (most) {
		shown->st_uid = chosen.st_uid;
		shown->st_mode |= S_IRUSR;
	}
}

/* How many disks in sessions stand on the layer, and one of them (NULL: not wanted). */
static size_t sessions_on_locked(const struct layer *layer, struct disk **ret_one)
{
	size_t count = 0;

	for (struct disk *disk = layer->disks->first; disk; disk = disk->next_disk) {
		if (!disk->session || !stands_on_locked(disk, layer))
			continue;
		count++;
		if (ret_one)
			*ret_one = disk;
	}
	return count;
}

static void show_label_locked(const struct layer *layer, struct stat *stat)
{
	stat->st_uid = layer->label_uid;
	stat->st_gid = layer->label_gid;
	stat->st_mode = (stat->st_mode & S_IFMT) | layer->label_mode;
}

int view_stat(struct view *view, struct stat *ret_stat)
{
	struct layer *layer = view->layer;
	CLEANUP(close_fdp) int fd = layer->record.image ? -1 : layer_open_file(layer, O_PATH);
	bool is_qemus = false;

	if (!layer->record.image && (fd < 0 || fstat(fd, ret_stat) < 0))
		return fd < 0 ? fd : -errno;
	LOCKED (&layer->disks->lock) {
		if (layer->record.image)
			*ret_stat = image_locked(layer);
		lessen_by_image_locked(layer, ret_stat);
		is_qemus = layer->labelled && sessions_on_locked(layer, NULL);
		if (layer->labelled)
			show_label_locked(layer, ret_stat);
		else if (!(ret_stat->st_mode & S_IROTH))
			show_owner_of_disk_locked(layer, ret_stat);
	}
	ret_stat->st_mode &= ~(mode_t)(WRITE_BITS | S_ISUID | S_ISGID | S_ISVTX);
	/* The kernel then asks whether QEMU may write it: view_refuse_writer(). */
	if (is_qemus)
		ret_stat->st_mode |= S_IWUSR;
	return 0;
}

/* The new owner reads. A new group gets what everybody has: the bit was another group's. */
static mode_t mode_for_owner(const struct stat *stat, gid_t gid)
{
	mode_t mode = stat->st_mode | S_IRUSR;

	if (gid != (gid_t)-1 && gid != stat->st_gid && !(mode & S_IROTH))
		mode &= ~(mode_t)S_IRGRP;
	return mode;
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
		layer->label_mode = (mode == (mode_t)-1 ? mode_for_owner(&stat, gid) : mode) & 07777;
	}
}

/* A fold writes the file, of which nothing else changes. */
static uint64_t seen_of(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return 0;
	return ((uint64_t)stat.st_mtim.tv_sec * 1000000007U + (uint64_t)stat.st_mtim.tv_nsec) * 31 +
	       (uint64_t)stat.st_size;
}

int view_open(struct view *view, struct onlooker *onlooker)
{
	struct layer *layer = view->layer;
	int fd, r = onlooker ? layer_look_on(layer, onlooker) : layer_pin(layer);

	if (r < 0)
		return r;
	fd = layer_open_file(layer, O_RDONLY);
	if (fd >= 0 && !is_current(view)) {
		close(fd);
		fd = -ESTALE;
	}
	if (fd < 0)
		view_close(view, -1, onlooker);
	else if (layer->record.image)
		image_look_at(layer); /* while it is open, its size must be right */
	if (fd >= 0 && onlooker)
		onlooker->seen = seen_of(fd);
	return fd;
}

/*
 * False where it has been said already, or is not known of which disk. Each QEMU tries to open its
 * files for writing when it starts; one that has the view open wants more.
 */
static bool tell_of_writer_locked(const struct layer *layer, struct sentence *ret_said)
{
	struct disk *disk = NULL;
	struct sentence path, quoted_domain, quoted_path;

	if (!layer->pins || sessions_on_locked(layer, &disk) != 1)
		return false;
	report(&path, 0, "%s/%s", disk->disks->options->mount, disk->name);
	report(ret_said, 0,
	       "disk '%s': nothing is committed into what it stands on: to take an external snapshot back into the disk, say "
	       "'virsh blockcommit %s %s --active --pivot --base %s'",
	       disk->name, quote_name(disk->session->domain, &quoted_domain), disk->session->target,
	       quote_name(path.text, &quoted_path));
	if (strcmp(disk->last_error.text, ret_said->text) == 0)
		return false;
	disk->last_error = *ret_said;
	return true;
}

int view_refuse_writer(const struct view *view)
{
	struct sentence said;
	bool told = false;

	LOCKED (&view->layer->disks->lock)
		told = tell_of_writer_locked(view->layer, &said);
	if (told)
		log_warning("%s", said.text);
	return -EROFS;
}

void view_pin_again(struct view *view, struct onlooker *onlooker)
{
	struct layer *layer = view->layer;

	LOCKED (&layer->disks->lock) {
		if (onlooker)
			onlookers_restore_locked(layer->disks, &layer->onlookers, onlooker);
		else
			layer->pins++;
	}
	log_debug("disk", "layer %s: pinned, for a descriptor of the daemon before", layer->record.id);
}

/* What is there now is not what was open. */
static bool is_replaced(struct layer *root)
{
	struct image_stamp now;

	return image_compare(root, true, &now) == IMAGE_REPLACED;
}

int view_open_again(struct view *view, uint64_t *ret_seen)
{
	struct layer *layer = view->layer;
	bool replaced = layer->record.image && (!is_current(view) || is_replaced(layer));
	int fd = replaced ? -ESTALE : layer_open_file(layer, O_RDONLY);

	if (fd >= 0 && layer->record.image)
		image_look_at(layer);
	*ret_seen = fd < 0 ? 0 : seen_of(fd);
	return fd;
}

void view_restore(struct view *view, uint64_t serial, uint64_t contents)
{
	struct layer *layer = view->layer;

	view->serial = serial;
	view->contents = contents;
	LOCKED (&layer->disks->lock)
		if (contents == layer->record.contents)
			layer->serial = serial;
}

void view_close(struct view *view, int fd, const struct onlooker *onlooker)
{
	struct layer *layer = view->layer;

	close_fdp(&fd);
	log_debug("disk", "layer %s: unpinned", layer->record.id);
	LOCKED (&layer->disks->lock) {
		if (onlooker)
			onlookers_leave_locked(onlooker);
		else
			layer->pins--;
		pthread_cond_broadcast(&layer->disks->changed);
	}
}

void views_visit_names(struct disks *disks, bool (*visit)(void *context, const char *name), void *context)
{
	char(*names)[LAYER_VIEW_NAME_SIZE] = NULL;
	size_t count = 0, i = 0;

	LOCKED (&disks->lock) {
		for (const struct layer *layer = disks->layers; layer; layer = layer->next)
			count++;
		names = calloc(count + 1, sizeof(*names));
		for (const struct layer *layer = disks->layers; layer && names; layer = layer->next)
			layer_view_name(layer, names[i++]);
	}
	for (size_t k = 0; k < i && visit(context, names[k]); k++)
		;
	free(names);
}
