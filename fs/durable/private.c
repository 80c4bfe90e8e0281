/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "util.h"

int private_directory(int images_fd, bool make)
{
	CLEANUP(close_fdp) int fd = -1;
	struct stat stat;

	if (make && mkdirat(images_fd, PRIVATE_DIRECTORY, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = io_open_beneath(images_fd, PRIVATE_DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV || fd == -EACCES)
		return -EPERM;
	if (fd < 0)
		return fd;
	if (fstat(fd, &stat) < 0)
		return -errno;
	return stat.st_uid != geteuid() || stat.st_mode & (S_IWGRP | S_IWOTH) ? -EPERM : steal_fd(&fd);
}
