/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory has an owner and a group of its own. Whoever is the image's owner, in its group or
 * neither may be any of the three there, unless owner or group are the same. So a bit stays where
 * its users are known to pass, or where everybody does. Root needs no bit.
 */
#include "access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "beneath.h"
#include "file.h"
#include "util.h"

/* It may give to some and deny to others what the bits for group and others do not say. */
static bool has_acl(int fd)
{
	return file_get_xattr(fd, "system.posix_acl_access", NULL, 0) > 0;
}

/* Which read bits of the image remain, where the gate has these bits for its own three kinds. */
static void keep(struct stat *image, const struct stat *gate, mode_t owner, mode_t group, mode_t other)
{
	bool for_group = gate->st_mode & group, for_other = gate->st_mode & other;
	bool for_all = for_group && for_other;

	if (gate->st_uid == image->st_uid ? !(gate->st_mode & owner) : !for_all)
		image->st_mode &= ~(mode_t)S_IRUSR;
	if (gate->st_gid == image->st_gid ? !for_group : !for_all)
		image->st_mode &= ~(mode_t)S_IRGRP;
	if (gate->st_gid == image->st_gid ? !for_other : !for_all)
		image->st_mode &= ~(mode_t)S_IROTH;
}

void access_lessen(struct stat *file, const struct stat *image)
{
	keep(file, image, S_IRUSR, S_IRGRP, S_IROTH);
}

/* fstat(2), without the bits that an ACL makes mean something else. */
static int look(int fd, struct stat *ret_stat)
{
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	if (has_acl(fd))
		ret_stat->st_mode &= ~(mode_t)(S_IRWXG | S_IRWXO);
	return 0;
}

/* O_PATH of a path's part; no symlink is followed, and none of the components is "..". */
static int look_beneath(int directory, const char *path, struct stat *ret_stat)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(directory, path, O_PATH | O_NOFOLLOW);

	return fd < 0 ? fd : look(fd, ret_stat);
}

int access_look(int directory, const char *name, struct stat *ret_stat)
{
	CLEANUP(freep) char *path = strdup(name);
	struct stat image, gate;
	int r = path ? look_beneath(directory, name, &image) : -ENOMEM;

	if (r == 0 && !S_ISREG(image.st_mode))
		r = -EINVAL;
	for (char *slash = path ? strchr(path, '/') : NULL; slash && r == 0; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		r = look_beneath(directory, path, &gate);
		if (r == 0)
			keep(&image, &gate, S_IXUSR, S_IXGRP, S_IXOTH);
		*slash = '/';
	}
	if (r == 0)
		*ret_stat = image;
	return r;
}
