/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * shared DIRECTORY CONTROL MOUNTPOINT [OPTION...]: DIRECTORY as a filesystem that other hosts may
 * see. Its locks are kept where the files are, as a server does; who closes a file loses them. As
 * on most such filesystems no rename exchanges two files. While CONTROL has a file of that name,
 *
 *   lost	another host has all locks: flock(2) says EWOULDBLOCK
 *   away	flock(2) fails with EIO
 *   nolocks	flock(2) fails with ENOLCK
 *   once	flock(2) by a descriptor that has the lock fails with EACCES, as on SMB
 *   unread	no mark of an image can be read: EIO
 *
 * The options are libfuse's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILES_MAX 4096

static struct {
	int directory, control;
} served;

static bool locked[FILES_MAX]; /* by descriptor */

/* Paths come with a '/' in front. */
static const char *beneath(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static int fd_of(const struct fuse_file_info *info)
{
	return (int)info->fh;
}

static bool is_told(const char *name)
{
	return faccessat(served.control, name, F_OK, 0) == 0;
}

static int look(const char *path, struct stat *stat, struct fuse_file_info *info)
{
	return result(info ? fstat(fd_of(info), stat)
			   : fstatat(served.directory, beneath(path), stat, AT_SYMLINK_NOFOLLOW));
}

static int list(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *info,
		enum fuse_readdir_flags flags)
{
	int fd = openat(served.directory, beneath(path), O_RDONLY | O_DIRECTORY);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	(void)offset, (void)info, (void)flags;
	if (!directory)
		return -errno;
	while ((entry = readdir(directory)))
		fill(buffer, entry->d_name, NULL, 0, 0);
	closedir(directory);
	return 0;
}

static int open_as(const char *path, int flags, mode_t mode, struct fuse_file_info *info)
{
	int fd = openat(served.directory, beneath(path), flags | O_NOFOLLOW, mode);

	if (fd < 0)
		return -errno;
	info->fh = (uint64_t)fd;
	return 0;
}

static int open_file(const char *path, struct fuse_file_info *info)
{
	return open_as(path, info->flags & ~(O_CREAT | O_EXCL), 0, info);
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *info)
{
	return open_as(path, info->flags | O_CREAT, mode, info);
}

static int close_file(const char *path, struct fuse_file_info *info)
{
	(void)path;
	locked[fd_of(info) % FILES_MAX] = false;
	return result(close(fd_of(info)));
}

static int read_file(const char *path, char *buffer, size_t length, off_t offset, struct fuse_file_info *info)
{
	if (strstr(path, "/mark-") && is_told("unread"))
		return -EIO;
	return result(pread(fd_of(info), buffer, length, offset));
}

static int write_file(const char *path, const char *data, size_t length, off_t offset, struct fuse_file_info *info)
{
	(void)path;
	return result(pwrite(fd_of(info), data, length, offset));
}

static int sync_file(const char *path, int data_only, struct fuse_file_info *info)
{
	(void)path, (void)data_only;
	return result(fsync(fd_of(info)));
}

static int truncate_file(const char *path, off_t size, struct fuse_file_info *info)
{
	int fd = info ? fd_of(info) : openat(served.directory, beneath(path), O_WRONLY | O_NOFOLLOW);
	int r = fd < 0 ? -errno : result(ftruncate(fd, size));

	if (!info && fd >= 0)
		close(fd);
	return r;
}

static int allocate(const char *path, int mode, off_t offset, off_t length, struct fuse_file_info *info)
{
	(void)path;
	return result(fallocate(fd_of(info), mode, offset, length));
}

static off_t seek(const char *path, off_t offset, int whence, struct fuse_file_info *info)
{
	off_t found = lseek(fd_of(info), offset, whence);

	(void)path;
	return found < 0 ? -errno : found;
}

static int make_directory(const char *path, mode_t mode)
{
	return result(mkdirat(served.directory, beneath(path), mode));
}

static int remove_file(const char *path)
{
	return result(unlinkat(served.directory, beneath(path), 0));
}

static int remove_directory(const char *path)
{
	return result(unlinkat(served.directory, beneath(path), AT_REMOVEDIR));
}

static int rename_file(const char *path, const char *to, unsigned flags)
{
	if (flags)
		return -EINVAL;
	return result(renameat(served.directory, beneath(path), served.directory, beneath(to)));
}

static int link_file(const char *path, const char *to)
{
	return result(linkat(served.directory, beneath(path), served.directory, beneath(to), 0));
}

static int change_mode(const char *path, mode_t mode, struct fuse_file_info *info)
{
	(void)info;
	return result(fchmodat(served.directory, beneath(path), mode, 0));
}

static int change_owner(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *info)
{
	(void)info;
	return result(fchownat(served.directory, beneath(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int change_times(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
	(void)info;
	return result(utimensat(served.directory, beneath(path), times, AT_SYMLINK_NOFOLLOW));
}

static int look_at_filesystem(const char *path, struct statvfs *statvfs)
{
	(void)path;
	return result(fstatvfs(served.directory, statvfs));
}

static int lock_file(const char *path, struct fuse_file_info *info, int operation)
{
	static const struct {
		const char *name;
		int error;
	} told[] = { { "lost", EWOULDBLOCK }, { "away", EIO }, { "nolocks", ENOLCK } };
	bool *own = &locked[fd_of(info) % FILES_MAX], unlocks = (operation & ~LOCK_NB) == LOCK_UN;
	int r;

	(void)path;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (!unlocks && is_told(told[i].name))
			return -told[i].error;
	if (!unlocks && *own && is_told("once"))
		return -EACCES;
	r = result(flock(fd_of(info), operation));
	*own = r == 0 ? !unlocks : *own;
	return r;
}

/* Nothing is remembered by the kernel, so that each call arrives. */
static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	config->use_ino = 1;
	config->hard_remove = 1;
	config->nullpath_ok = 0;
	config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = begin,
	.getattr = look,
	.readdir = list,
	.open = open_file,
	.create = create_file,
	.release = close_file,
	.read = read_file,
	.write = write_file,
	.fsync = sync_file,
	.truncate = truncate_file,
	.fallocate = allocate,
	.lseek = seek,
	.mkdir = make_directory,
	.unlink = remove_file,
	.rmdir = remove_directory,
	.rename = rename_file,
	.link = link_file,
	.chmod = change_mode,
	.chown = change_owner,
	.utimens = change_times,
	.statfs = look_at_filesystem,
	.flock = lock_file,
};

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	umask(0);
	served.directory = open(argv[1], O_RDONLY | O_DIRECTORY);
	served.control = open(argv[2], O_RDONLY | O_DIRECTORY);
	if (served.directory < 0 || served.control < 0)
		return 2;
	argv[2] = argv[0];
	return fuse_main(argc - 2, argv + 2, &operations, NULL);
}
