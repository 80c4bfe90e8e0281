/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device numbers are not compared: a filesystem's number may change from boot to boot.
 */
#include "image_stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "access.h"
#include "file_identity.h"
#include "filesystem.h"
#include "layer.h"
#include "lock.h"

int image_stamp_file(int fd, struct image_stamp *ret_stamp)
{
	struct image_stamp stamp = { 0 };
	struct stat stat;
	int r;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	stamp.device = stat.st_dev;
	stamp.inode = stat.st_ino;
	stamp.size = (uint64_t)stat.st_size;
	stamp.modified = stat.st_mtim;
	r = file_identity(fd, stamp.identity, sizeof(stamp.identity));
	if (r == 0)
		*ret_stamp = stamp;
	return r;
}

bool image_stamps_same_file(const struct image_stamp *a, const struct image_stamp *b)
{
	if (a->identity[0] && b->identity[0])
		return strcmp(a->identity, b->identity) == 0;
	return a->inode == b->inode;
}

static const char *ask_shared(const struct layer *root)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_PATH);

	return fd < 0 ? root->disks->images_shared : filesystem_shared(fd);
}

void image_look_at(struct layer *root)
{
	bool elsewhere = false;
	const char *shared;
	struct stat seen;

	if (access_look(root->disks->images_fd, root->record.image, &seen) < 0)
		return;
	LOCKED (&root->disks->lock)
		elsewhere = !root->seen.st_nlink || root->seen.st_dev != seen.st_dev;
	shared = elsewhere ? ask_shared(root) : NULL;
	LOCKED (&root->disks->lock) {
		root->seen = seen;
		root->shared = elsewhere ? shared : root->shared;
	}
}

const char *image_shared_locked(const struct layer *root)
{
	if (root->disks->options->images_are_mine)
		return NULL;
	return root->seen.st_nlink ? root->shared : root->disks->images_shared;
}

static bool looks_alike(const struct image_stamp *a, const struct image_stamp *b)
{
	return a->size == b->size && a->modified.tv_sec == b->modified.tv_sec &&
	       a->modified.tv_nsec == b->modified.tv_nsec;
}

/*
 * Where files have no identity, as in most FUSE filesystems, the server may deal out new inode
 * numbers at each mount: another number alone is no other file.
 */
static bool may_be_renumbered(const struct image_stamp *a, const struct image_stamp *b)
{
	return !a->identity[0] && !b->identity[0] && looks_alike(a, b);
}

int image_compare(struct layer *root, bool folding, struct image_stamp *ret_stamp)
{
	CLEANUP(close_fdp) int fd = layer_open_file(root, O_PATH);
	struct image_stamp seen = { 0 };
	int r = fd < 0 ? fd : image_stamp_file(fd, ret_stamp);

	if (r < 0)
		return r;
	image_look_at(root);
	LOCKED (&root->disks->lock)
		seen = root->record.stamp;
	if (!image_stamps_same_file(&seen, ret_stamp))
		return !folding && may_be_renumbered(&seen, ret_stamp) ? IMAGE_SAME : IMAGE_REPLACED;
	return folding || looks_alike(&seen, ret_stamp) ? IMAGE_SAME : IMAGE_CHANGED;
}
