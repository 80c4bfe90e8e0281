/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Others may write into the images directory, and a guest's QEMU wrote the header: files are opened
 * beneath the directory and through no link, and the name in the header is compared, not followed.
 */
#include "renamed_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "qcow2.h"
#include "renamed.h"

void renamed_disk_clear(struct renamed_disk *disk)
{
	close_fdp(&disk->directory);
	free(disk->name);
	disk->name = NULL;
}

int renamed_disk_open(const struct renamed_disk *disk, const char *suffix, int flags)
{
	CLEANUP(freep) char *name = format_text("%s%s", disk->name, suffix);
	CLEANUP(close_fdp)
	int fd = name ? io_open_beneath(disk->directory, name, flags | O_NOFOLLOW | O_NONBLOCK) : -ENOMEM;
	struct stat stat;

	if (fd < 0)
		return fd;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	/* Under its other name it may be anybody's, and have come since it was looked at. */
	if ((flags & O_ACCMODE) != O_RDONLY && stat.st_nlink > 1)
		return -EMLINK;
	return steal_fd(&fd);
}

static bool is_there(const struct renamed_disk *disk, const char *suffix)
{
	CLEANUP(close_fdp) int fd = renamed_disk_open(disk, suffix, O_RDONLY);

	return fd >= 0;
}

static bool is_overlay(struct renamed_disk *disk, const char *suffix)
{
	CLEANUP(close_fdp) int fd = renamed_disk_open(disk, suffix, O_RDONLY);
	struct qcow2_header header;

	if (fd < 0 || qcow2_read_header(fd, &header, NULL) < 0 || !renamed_is_overlay(disk->name, header.backing))
		return false;
	snprintf(disk->format, sizeof(disk->format), "%s", header.backing_format);
	return true;
}

static enum renamed_state find_state(struct renamed_disk *disk)
{
	bool image = is_there(disk, RENAMED_IMAGE);

	if (is_overlay(disk, ""))
		return image ? RENAMED_OVERLAY : RENAMED_NOT;
	if (is_there(disk, ""))
		return !image && is_overlay(disk, RENAMED_KEPT) ? RENAMED_ALL_KEPT : RENAMED_NOT;
	if (!image)
		return RENAMED_NOT;
	return is_overlay(disk, RENAMED_KEPT) ? RENAMED_HALF_KEPT : RENAMED_MISSING;
}

int renamed_disk_look(const char *images, const char *name, struct renamed_disk *ret_disk, struct sentence *error)
{
	CLEANUP(close_fdp) int directory = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(freep) char *parent = strdup(name);
	char *slash = parent ? strrchr(parent, '/') : NULL;

	*ret_disk = (struct renamed_disk){ .directory = -1 };
	if (directory < 0)
		return report(error, -errno, "'%s' cannot be opened: %s", images, error_text(-errno));
	ret_disk->name = parent ? strdup(slash ? slash + 1 : name) : NULL;
	if (!ret_disk->name)
		return report(error, -ENOMEM, "out of memory");
	if (slash)
		*slash = '\0';
	ret_disk->directory = io_open_beneath(directory, slash ? parent : ".", O_RDONLY | O_DIRECTORY);
	/* Where there is no such directory, nothing can have been renamed in it. */
	if (ret_disk->directory >= 0)
		ret_disk->state = find_state(ret_disk);
	return 0;
}
