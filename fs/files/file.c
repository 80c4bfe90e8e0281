/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An O_PATH descriptor allows fstat(2) and AT_EMPTY_PATH, but neither reading nor chmod(2). The
 * magic link /proc/self/fd/N helps: it leads to the very inode, whatever its names are by now, and
 * the kernel follows nothing behind it, even where that inode is a symlink.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "util.h"

struct link_text {
	char text[40];
};

static struct link_text magic_link(int fd)
{
	struct link_text link;

	snprintf(link.text, sizeof(link.text), "/proc/self/fd/%d", fd);
	return link;
}

static int result(long value)
{
	return value < 0 ? -errno : (int)value;
}

int file_stat(int fd, struct stat *ret_stat)
{
	return result(fstat(fd, ret_stat));
}

int file_look(int fd, const char *name, struct stat *ret_stat)
{
	const int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
	struct statx x;

	if (statx(fd, name, flags, STATX_BASIC_STATS, &x) < 0)
		return -errno;
	*ret_stat = (struct stat){
		.st_dev = makedev(x.stx_dev_major, x.stx_dev_minor),
		.st_ino = x.stx_ino,
		.st_mode = x.stx_mode,
		.st_nlink = x.stx_nlink,
		.st_uid = x.stx_uid,
		.st_gid = x.stx_gid,
		.st_rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
		.st_size = (off_t)x.stx_size,
		.st_blksize = (blksize_t)x.stx_blksize,
		.st_blocks = (blkcnt_t)x.stx_blocks,
		.st_atim = { x.stx_atime.tv_sec, x.stx_atime.tv_nsec },
		.st_mtim = { x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec },
		.st_ctim = { x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec },
	};
	return 0;
}

int file_find(int directory, const char *name, struct stat *ret_stat)
{
	CLEANUP(close_fdp) int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	int r = fd < 0 ? -errno : file_look(fd, "", ret_stat);

	return r < 0 ? r : steal_fd(&fd);
}

int file_open(int fd, int flags)
{
	flags &= ~(O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_NOCTTY | O_DIRECT | O_APPEND);
	return result(open(magic_link(fd).text, flags | O_CLOEXEC));
}

int file_read_link(int fd, char *text, size_t size)
{
	ssize_t n = readlinkat(fd, "", text, size);

	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -ENAMETOOLONG;
	text[n] = '\0';
	return 0;
}

/* sgid without group execution meant mandatory locking; the kernel leaves it, too. */
int file_kill_privileges(int fd)
{
	mode_t bits = S_ISUID;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_mode & S_IXGRP)
		bits |= S_ISGID;
	if (!S_ISREG(st.st_mode) || !(st.st_mode & bits))
		return 0;
	return result(chmod(magic_link(fd).text, st.st_mode & 07777 & ~bits));
}

/*
 * The size comes first, since it may fail for lack of space; the owner comes before the mode, since
 * chown(2) clears suid and sgid.
 */
int file_change(int fd, const struct change *change)
{
	struct link_text link = magic_link(fd);

	if (change->what & CHANGE_SIZE && truncate(link.text, change->size) < 0)
		return -errno;
	if (change->what & CHANGE_KILL) {
		int r = file_kill_privileges(fd);

		if (r < 0)
			return r;
	}
	if (change->what & CHANGE_OWNER && fchownat(fd, "", change->uid, change->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (change->what & CHANGE_MODE && chmod(link.text, change->mode & 07777) < 0)
		return -errno;
	if (change->what & CHANGE_TIMES && utimensat(fd, "", change->times, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

ssize_t file_get_xattr(int fd, const char *name, void *value, size_t size)
{
	return result(getxattr(magic_link(fd).text, name, value, size));
}

ssize_t file_list_xattrs(int fd, char *names, size_t size)
{
	return result(listxattr(magic_link(fd).text, names, size));
}

int file_set_xattr(int fd, const char *name, const void *value, size_t size, int flags)
{
	return result(setxattr(magic_link(fd).text, name, value, size, flags));
}

int file_remove_xattr(int fd, const char *name)
{
	return result(removexattr(magic_link(fd).text, name));
}

/* libvirt keeps its labels in trusted.*, and fails where it can read xattrs but not write them. */
bool file_has_xattrs(int fd)
{
	return file_get_xattr(fd, "trusted.revertfs", NULL, 0) != -ENOTSUP;
}

bool file_has_acls(int fd)
{
	return file_get_xattr(fd, "system.posix_acl_access", NULL, 0) != -ENOTSUP;
}

static mode_t wanted_mode(int directory, const struct creation *creation)
{
	if (file_get_xattr(directory, "system.posix_acl_default", NULL, 0) > 0)
		return creation->mode;
	return creation->mode & ~(creation->umask & 0777);
}

int file_create(int directory, const char *name, int flags, const struct creation *creation)
{
	mode_t mode = wanted_mode(directory, creation);
	int r = creator_enter(&creation->creator);

	if (r < 0)
		return r;
	flags &= ~(O_TRUNC | O_NOCTTY | O_DIRECT | O_PATH | O_APPEND);
	r = result(openat(directory, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777));
	creator_leave();
	return r;
}

int file_make_node(int directory, const char *name, const struct creation *creation)
{
	mode_t mode = wanted_mode(directory, creation);
	int r = creator_enter(&creation->creator);

	if (r < 0)
		return r;
	r = result(mknodat(directory, name, mode, creation->device));
	creator_leave();
	return r;
}

int file_make_directory(int directory, const char *name, const struct creation *creation)
{
	mode_t mode = wanted_mode(directory, creation);
	int r = creator_enter(&creation->creator);

	if (r < 0)
		return r;
	r = result(mkdirat(directory, name, mode & 07777));
	creator_leave();
	return r;
}

int file_make_link(int directory, const char *name, const char *target, const struct creation *creation)
{
	int r = creator_enter(&creation->creator);

	if (r < 0)
		return r;
	r = result(symlinkat(target, directory, name));
	creator_leave();
	return r;
}
