/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A scratch is a file that may lose its name (a reset renames a fresh one over it) and lives on for
 * its open descriptors.
 *
 * A fresh scratch is made in this order: write a new file from the layer's blank, give it the
 * image's owner, mode and xattrs, set the blank's modification time, rename it over the old
 * scratch. Nothing is synced: a crash leaves the old scratch, or one that is discarded anyway. A
 * scratch whose data may be kept is synced by a guest's flush in a strict session, and by seal.c.
 */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fdstore.h"
#include "file.h"
#include "io.h"
#include "layer.h"
#include "layer_header.h"
#include "lock.h"
#include "log.h"
#include "mark.h"
#include "qcow2_clusters.h"
#include "table.h"
#include "state_directory.h"

#define NEW_SUFFIX ".new"
#define XATTR_LIST_MAX 65536
#define LIBVIRT_XATTRS "trusted.libvirt." /* libvirt's memory of labels: of one file, never of its successor */

char *scratch_store_name(uint64_t serial)
{
	return format_text("scratch-%llu", (unsigned long long)serial);
}

/* Make `fd` the disk's scratch in memory, and drop the disk's reference on the old scratch. */
static int install(struct disk *disk, struct layer *layer, int fd)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch)), *old;

	if (!scratch)
		return -ENOMEM;
	scratch->fd = fd;
	scratch->refs = 1;
	atomic_init(&scratch->passed, true);
	pthread_mutex_lock(&disk->disks->lock);
	scratch->serial = ++disk->disks->last_serial;
	scratch->layer = layer_get_locked(layer);
	scratch->contents = disk->root->record.contents;
	scratch->disk = disk;
	disk->refs++;
	old = disk->scratch;
	disk->scratch = scratch;
	disk_set_state_locked(disk, DISK_PRISTINE);
	scratch_put_locked(old);
	pthread_cond_broadcast(&disk->disks->changed);
	pthread_mutex_unlock(&disk->disks->lock);
	log_debug("disk", "'%s': pristine, with a scratch on layer %s", disk->name, layer->record.id);
	return 0;
}

/*
 * Copy the image's xattrs, except libvirt's and our mark. A filesystem without xattrs is no error.
 */
static void copy_xattrs(int from, int to)
{
	CLEANUP(freep) char *list = malloc(XATTR_LIST_MAX), *value = malloc(XATTR_LIST_MAX);
	ssize_t length = list && value ? flistxattr(from, list, XATTR_LIST_MAX) : -1;

	for (char *name = list; length > 0 && name < list + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, XATTR_LIST_MAX);

		if (size >= 0 && strncmp(name, LIBVIRT_XATTRS, strlen(LIBVIRT_XATTRS)) != 0 && !mark_is_xattr(name))
			fsetxattr(to, name, value, (size_t)size, 0);
	}
}

static void drop_xattrs(int fd)
{
	CLEANUP(freep) char *list = malloc(XATTR_LIST_MAX);
	ssize_t length = list ? flistxattr(fd, list, XATTR_LIST_MAX) : -1;

	for (char *name = list; length > 0 && name < list + length; name += strlen(name) + 1)
		fremovexattr(fd, name);
}

int scratch_set_attributes(const struct disk *disk, int fd)
{
	CLEANUP(close_fdp) int image = layer_open_file(disk->root, O_RDONLY);
	struct stat stat;

	/* A disk whose image is missing fails elsewhere, with a better sentence. */
	if (image < 0 || fstat(image, &stat) < 0)
		return 0;
	drop_xattrs(fd);
	copy_xattrs(image, fd);
	if (fchown(fd, stat.st_uid, stat.st_gid) < 0 || fchmod(fd, stat.st_mode & 0777) < 0)
		return -errno;
	return 0;
}

static bool is_open(struct disk *disk)
{
	bool open;

	LOCKED (&disk->disks->lock)
		open = disk_is_open_locked(disk);
	return open;
}

/*
 * The old scratch is about to lose its name. Where it is open, the next daemon needs it too, and
 * finds it in the descriptor store. The disk is claimed, so nobody opens it meanwhile.
 */
static void store_for_openers(struct disk *disk)
{
	struct scratch *old = disk->scratch;
	CLEANUP(freep) char *name = NULL;

	if (!old || old->stored || !is_open(disk))
		return;
	name = scratch_store_name(old->serial);
	if (name && fdstore_put(name, old->fd) == 0)
		old->stored = true;
}

/* The new file, complete but for its name: a descriptor. */
static int make_file(struct disk *disk, const struct blank *blank, const char *new_name)
{
	CLEANUP(close_fdp) int fd = -1;
	int r;

	fd = io_create_file(disk->scratch_directory, new_name);
	r = fd < 0 ? fd : blank_fill(blank, fd);
	if (r == 0)
		r = scratch_set_attributes(disk, fd);
	if (r == 0)
		r = blank_stamp(blank, fd);
	if (r < 0)
		io_unlink(disk->scratch_directory, new_name);
	return r < 0 ? r : steal_fd(&fd);
}

/*
 * A full filesystem (above all a small one in RAM) may be full of the very scratch that is to be
 * discarded: then it is emptied first. Not while it is open, nor where its file has become a layer
 * (a second link). Nobody opens it meanwhile: the disk is claimed.
 */
static bool empty_old_file(struct disk *disk)
{
	struct scratch *scratch = disk->scratch;
	struct stat stat;

	if (!scratch || is_open(disk) || fstat(scratch->fd, &stat) < 0 || stat.st_nlink != 1)
		return false;
	return ftruncate(scratch->fd, 0) == 0;
}

int scratch_replace(struct disk *disk, struct layer *layer, struct sentence *error)
{
	CLEANUP(freep) char *new_name = format_text("%s" NEW_SUFFIX, disk->scratch_name);
	CLEANUP(close_fdp) int fd = -1;
	struct blank *blank;
	/* What could not be served is served again only where all that it stands on is there. */
	int r = disk_has_failed(disk, NULL) ? layer_check_files(layer, error) : 0;

	if (r == 0)
		r = state_check(disk->disks, error);
	if (r == 0)
		r = layer_blank(layer, &blank, error);
	if (r != 0)
		return r;
	if (!new_name)
		return report(error, -ENOMEM, "out of memory");
	fd = make_file(disk, blank, new_name);
	if (fd == -ENOSPC && empty_old_file(disk))
		fd = make_file(disk, blank, new_name);
	r = fd < 0 ? fd : 0;
	if (r == 0)
		store_for_openers(disk);
	if (r == 0)
		r = io_rename_unsynced(disk->scratch_directory, new_name, disk->scratch_name);
	if (r == 0)
		r = install(disk, layer, fd);
	if (r < 0) {
		io_unlink(disk->scratch_directory, new_name);
		return report(error, r, "a fresh scratch cannot be made: %s", error_text(r));
	}
	steal_fd(&fd);
	return 0;
}

int scratch_adopt(struct disk *disk, struct layer *layer)
{
	CLEANUP(close_fdp) int fd = io_open_file(disk->scratch_directory, disk->scratch_name, O_RDWR);
	int r = fd < 0 ? fd : install(disk, layer, fd);

	if (r == 0) {
		steal_fd(&fd);
		scratch_is_dirty(disk->scratch);
	}
	return r;
}

bool scratch_is_dirty(struct scratch *scratch)
{
	struct blank *blank = NULL;
	bool becomes_dirty;
	struct stat stat;

	if (!atomic_load(&scratch->touched)) {
		if (layer_blank(scratch->layer, &blank, NULL) == 0 && fstat(scratch->fd, &stat) == 0 &&
		    blank_matches(blank, &stat))
			return false;
		atomic_store(&scratch->touched, true);
	}
	pthread_mutex_lock(&scratch->disk->disks->lock);
	becomes_dirty = scratch->disk->scratch == scratch && scratch->disk->state == DISK_PRISTINE;
	if (becomes_dirty)
		disk_set_state_locked(scratch->disk, DISK_DIRTY);
	pthread_mutex_unlock(&scratch->disk->disks->lock);
	if (becomes_dirty)
		log_debug("disk", "'%s': dirty", scratch->disk->name);
	return true;
}

uint64_t scratch_allocated(const struct scratch *scratch)
{
	struct stat stat;

	return fstat(scratch->fd, &stat) == 0 ? (uint64_t)stat.st_blocks * 512 : 0;
}

int scratch_check(struct scratch *scratch, struct sentence *error)
{
	return layer_check_scratch(scratch->layer, scratch->fd, NULL, error);
}

uint64_t scratch_contents(const struct disk *disk)
{
	uint64_t contents = 0;

	LOCKED (&disk->disks->lock)
		contents = disk->scratch ? disk->scratch->contents : disk->root->record.contents;
	return contents;
}

int scratch_check_image(const struct scratch *scratch, struct sentence *error)
{
	const struct disk *disk = scratch->disk;
	bool same = true;

	LOCKED (&disk->disks->lock)
		same = scratch->contents == disk->root->record.contents;
	return same ? 0
		    : report(error, -EBADMSG,
			     "its image was replaced since the scratch was made, and the scratch's data stands on what is gone");
}

int scratch_check_sealable(struct scratch *scratch, bool torn, uint64_t *ret_size, struct sentence *error)
{
	struct qcow2_header header = { 0 };
	int r = scratch_check_image(scratch, error);

	if (r == 0)
		r = scratch_check(scratch, error);
	if (r == 0)
		r = qcow2_read_header(scratch->fd, &header, error);
	if (r < 0)
		return r;
	if (ret_size)
		*ret_size = header.virtual_size;
	return qcow2_check_clusters(scratch->fd, &header, torn, error);
}

bool scratch_has_snapshots(struct scratch *scratch)
{
	return scratch_is_dirty(scratch) && qcow2_has_snapshots(scratch->fd) &&
	       scratch_check_sealable(scratch, true, NULL, NULL) == 0;
}

void scratch_warn_of_snapshots(struct scratch *scratch, struct sentence *ret_warning)
{
	ret_warning->text[0] = '\0';
	if (scratch_has_snapshots(scratch))
		report(ret_warning, 0,
		       "disk '%s': the internal snapshots that were taken of it do not become part of the image: 'virsh snapshot-delete DOMAIN SNAPSHOT --metadata' has libvirt forget one",
		       scratch->disk->name);
}

int scratch_to_lost(struct disk *disk, const char *with, struct sentence *ret_said)
{
	CLEANUP(freep) char *directory = disk_directory_name(disk->name);
	char snapshot[SNAPSHOT_NAME_MAX + 1];
	CLEANUP(freep) char *name = NULL;
	struct sentence said;
	int r;

	disk_unused_snapshot_name(disk, "scratch", snapshot);
	name = directory ? format_text("%.100s-%s.qcow2", directory, snapshot) : NULL;
	for (int n = 2; name && faccessat(disk->disks->lost_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; n++) {
		free(name);
		name = format_text("%.100s-%s-%d.qcow2", directory, snapshot, n);
	}
	if (!name)
		return report(ret_said, -ENOMEM, "out of memory");
	r = io_rename(disk->scratch_directory, disk->scratch_name, disk->disks->lost_fd, name);
	if (r == -ENOENT)
		/* No fresh one could be made when it was moved. */
		return report(ret_said, 0, "disk '%s': its scratch was moved to lost/ before", disk->name);
	if (r == -EXDEV)
		return report(ret_said, r,
			      "disk '%s': its scratch has %s and lies on another filesystem than the state directory; "
			      "move it away by hand",
			      disk->name, with);
	if (r < 0)
		return report(ret_said, r, "disk '%s': its scratch has %s and cannot be moved to lost/: %s", disk->name,
			      with, error_text(r));
	report(&said, 0,
	       "disk '%s': its scratch has %s; it was not sealed but moved to lost/%s in the state directory: %llu bytes",
	       disk->name, with, name, (unsigned long long)scratch_allocated(disk->scratch));
	log_warning("%s", said.text);
	return report(ret_said, 0, "%s", said.text);
}
