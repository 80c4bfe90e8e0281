/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files were the guest's: a header must name the next one, in the mount, and nothing else,
 * since libvirt and qemu-img follow it.
 */
#include "stacked.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "beneath.h"
#include "qcow2.h"
#include "table.h"

#define STACKED_MAX 64 /* files on one another; a circle ends there */

/* When a file was made; false where the filesystem does not say. */
static bool birth_of(int fd, struct statx_timestamp *ret_time)
{
	struct statx found;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BTIME, &found) < 0 ||
	    !(found.stx_mask & STATX_BTIME))
		return false;
	*ret_time = found.stx_btime;
	return true;
}

static bool is_older(int fd, int since)
{
	struct statx_timestamp file, limit;

	if (since < 0 || !birth_of(fd, &file) || !birth_of(since, &limit))
		return false;
	return file.tv_sec < limit.tv_sec || (file.tv_sec == limit.tv_sec && file.tv_nsec < limit.tv_nsec);
}

/* The name, beneath the mount, of what the file has as its backing file; NULL: none that counts. */
static char *name_below(const struct disks *disks, const char *name, int since)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(disks->images_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	const char *mount = disks->options->mount;
	struct qcow2_header header;
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || is_older(fd, since) ||
	    qcow2_read_header(fd, &header, NULL) < 0 || qcow2_check_alone(&header, NULL) < 0 ||
	    strcmp(header.backing_format, "qcow2") != 0 || !path_is_beneath(header.backing, mount) ||
	    strcmp(header.backing, mount) == 0)
		return NULL;
	return strdup(header.backing + strlen(mount) + 1);
}

struct disk *stacked_on_disk(struct disks *disks, const char *name, int since, char **ret_lowest)
{
	CLEANUP(freep) char *at = strdup(name);

	for (int n = 0; at && n < STACKED_MAX; n++) {
		char *below = name_below(disks, at, since);
		struct disk *disk = below ? disks_find(disks, below) : NULL;

		if (disk) {
			free(below);
			if (ret_lowest)
				*ret_lowest = steal_pointer(&at);
			return disk;
		}
		free(at);
		at = below;
	}
	return NULL;
}
