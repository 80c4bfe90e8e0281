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

void image_look_at(struct layer *root)
{
	struct stat seen;

	if (access_look(root->disks->images_fd, root->record.image, &seen) == 0)
		LOCKED (&root->disks->lock)
			root->seen = seen;
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
		return IMAGE_REPLACED;
	if (folding)
		return IMAGE_SAME;
	return ret_stamp->size == seen.size && ret_stamp->modified.tv_sec == seen.modified.tv_sec &&
			       ret_stamp->modified.tv_nsec == seen.modified.tv_nsec
		       ? IMAGE_SAME
		       : IMAGE_CHANGED;
}
