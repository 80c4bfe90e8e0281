/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each step is one system call between fault_before() and fault_after(), which do nothing in the
 * program that is installed.
 *
 * A failed fsync is not tried again. Linux reports an error once per descriptor and may have
 * dropped the dirty pages, so the next fsync would succeed and mean nothing. The caller must treat
 * the file as unsynced for good.
 */
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "beneath.h"
#include "filesystem.h"
#include "util.h"

#define NEW_SUFFIX ".new"
#define COPY_SIZE (1 << 20)
#define NO_WRITER_TRIES 100
#define NO_WRITER_PAUSE_US 5000

#ifndef REVERTFS_FAULTS
static int fault_before(const struct io_step *step)
{
	(void)step;
	return 0;
}

static void fault_after(const struct io_step *step, int result)
{
	(void)step, (void)result;
}
#endif

/* The result of a step's system call, as 0 or a negative errno. */
static int finish_step(const struct io_step *step, int result)
{
	int r = result < 0 ? -errno : 0;

	fault_after(step, r);
	return r;
}

int io_sync(int fd)
{
	struct io_step step = { .event = IO_SYNC, .fd = fd, .directory = -1, .to_directory = -1 };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, fsync(fd));
}

int io_sync_directory(int directory)
{
	struct io_step step = { .event = IO_SYNC_DIRECTORY, .fd = -1, .directory = directory, .to_directory = -1 };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, fsync(directory));
}

int io_set_xattr(int fd, const char *name, const void *value, size_t size)
{
	struct io_step step = { IO_SET_XATTR, fd, -1, name, -1, NULL };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, fsetxattr(fd, name, value, size, 0));
}

int io_remove_xattr(int fd, const char *name)
{
	struct io_step step = { IO_REMOVE_XATTR, fd, -1, name, -1, NULL };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, fremovexattr(fd, name));
}

void io_start_write_back(int fd)
{
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int io_link(int fd, int directory, const char *name)
{
	struct io_step step = { IO_LINK, fd, directory, name, -1, NULL };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, linkat(fd, "", directory, name, AT_EMPTY_PATH));
}

int io_rename(int directory, const char *name, int to_directory, const char *to_name)
{
	struct io_step step = { IO_RENAME, -1, directory, name, to_directory, to_name };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, renameat(directory, name, to_directory, to_name));
}

static int exchange(int directory, const char *name, const char *to_name)
{
	struct io_step step = { IO_RENAME, -1, directory, name, directory, to_name };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, renameat2(directory, name, directory, to_name, RENAME_EXCHANGE));
}

int io_rename_unsynced(int directory, const char *name, const char *to_name)
{
	int r = exchange(directory, name, to_name);

	if (r == 0)
		return io_unlink(directory, name);
	if (r == -ENOENT || r == -EINVAL || r == -ENOSYS)
		return io_rename(directory, name, directory, to_name);
	return r;
}

/*
 * NFS, for one, does not know RENAME_NOREPLACE. There a second link is made first, which fails
 * where the name is taken, and then the old name is removed.
 */
static int rename_new(int directory, const char *name, int to_directory, const char *to_name)
{
	int r = renameat2(directory, name, to_directory, to_name, RENAME_NOREPLACE);

	if (r == 0 || (errno != EINVAL && errno != ENOSYS))
		return r;
	r = linkat(directory, name, to_directory, to_name, 0);
	return r < 0 ? r : unlinkat(directory, name, 0);
}

int io_rename_new(int directory, const char *name, int to_directory, const char *to_name)
{
	struct io_step step = { IO_RENAME, -1, directory, name, to_directory, to_name };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, rename_new(directory, name, to_directory, to_name));
}

int io_unlink(int directory, const char *name)
{
	struct io_step step = { IO_UNLINK, -1, directory, name, -1, NULL };
	int r = fault_before(&step);

	if (r == 0)
		r = finish_step(&step, unlinkat(directory, name, 0));
	return r == -ENOENT ? 0 : r;
}

int io_remove_directory(int directory, const char *name)
{
	struct io_step step = { IO_REMOVE_DIRECTORY, -1, directory, name, -1, NULL };
	int r = fault_before(&step);

	return r < 0 ? r : finish_step(&step, unlinkat(directory, name, AT_REMOVEDIR));
}

int io_directory(int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int io_create_file(int directory, const char *name)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(directory, name, flags, 0600), r;

	if (fd >= 0 || errno != EEXIST)
		return fd < 0 ? -errno : fd;
	r = io_unlink(directory, name);
	if (r < 0)
		return r;
	fd = openat(directory, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_new(int directory, const char *name, const void *data, size_t length, bool durable)
{
	struct io_step step = { IO_WRITE, -1, directory, name, -1, NULL };
	CLEANUP(close_fdp) int fd = -1;
	int r = fault_before(&step);

	if (r < 0)
		return r;
	fd = io_create_file(directory, name);
	r = fd < 0 ? fd : write_all(fd, data, length);
	step.fd = fd;
	fault_after(&step, r);
	if (r < 0)
		return r;
	return durable ? io_sync(fd) : 0;
}

int io_replace(int directory, const char *name, const void *data, size_t length, bool durable)
{
	CLEANUP(freep) char *new_name = format_text("%s" NEW_SUFFIX, name);
	int r;

	if (!new_name)
		return -ENOMEM;
	r = write_new(directory, new_name, data, length, durable);
	if (r == 0)
		r = io_rename(directory, new_name, directory, name);
	if (r < 0) {
		io_unlink(directory, new_name);
		return r;
	}
	return durable ? io_sync_directory(directory) : 0;
}

/* Open a file again, by its descriptor, which may be O_PATH. */
static int reopen(int fd, int flags)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

int io_open_file(int directory, const char *name, int flags)
{
	CLEANUP(close_fdp) int fd = io_open_beneath(directory, name, O_PATH | O_NOFOLLOW);
	struct stat stat;

	if (fd < 0)
		return fd == -ELOOP ? -EBADMSG : fd;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EBADMSG;
	return flags & O_PATH ? steal_fd(&fd) : reopen(fd, flags | O_NONBLOCK);
}

/*
 * A read lease is granted only while no process has the file open for writing. It is given back at
 * once. -EAGAIN: somebody has it so, or keeps everybody out by a write lease, for which open(2)
 * would wait.
 */
static int try_read_lease(int fd)
{
	CLEANUP(close_fdp) int reader = reopen(fd, O_RDONLY | O_NONBLOCK);

	if (reader < 0)
		return reader;
	if (fcntl(reader, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN ? -EAGAIN : 0;
	fcntl(reader, F_SETLEASE, F_UNLCK);
	return 0;
}

int io_check_no_writer(int fd)
{
	int r;

	/* The same errno would mean there that the server has given no delegation or oplock. */
	if (filesystem_refuses_leases(fd))
		return 0;
	r = try_read_lease(fd);
	/*
	 * Tried again for a while: a child that another thread has just forked has this daemon's
	 * own descriptors, until its execve(2) closes them.
	 */
	for (int i = 1; r == -EAGAIN && i < NO_WRITER_TRIES; i++) {
		usleep(NO_WRITER_PAUSE_US);
		r = try_read_lease(fd);
	}
	return r == -EAGAIN ? -EBUSY : r;
}

int io_reflink(int from, int to)
{
	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	return errno == ENOTTY || errno == EINVAL || errno == EXDEV || errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

/* Where copy_file_range(2) cannot: from one filesystem to another of a different kind. */
static int copy_by_hand(int from, int to, off_t start, off_t end)
{
	CLEANUP(freep) char *buffer = malloc(COPY_SIZE);

	if (!buffer)
		return -ENOMEM;
	while (start < end) {
		size_t length = end - start < COPY_SIZE ? (size_t)(end - start) : COPY_SIZE;
		int r = pread_all(from, buffer, length, start);

		if (r == 0)
			r = pwrite_all(to, buffer, length, start);
		if (r < 0)
			return r;
		start += (off_t)length;
	}
	return 0;
}

static int copy_range(int from, int to, off_t start, off_t end)
{
	while (start < end) {
		off_t in = start, out = start;
		ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - start), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOSYS))
			return copy_by_hand(from, to, start, end);
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		start += n;
	}
	return 0;
}

int io_copy_sparse(int from, int to)
{
	struct stat stat;
	off_t data = 0;

	if (fstat(from, &stat) < 0 || ftruncate(to, stat.st_size) < 0)
		return -errno;
	while (data < stat.st_size) {
		off_t hole;
		int r;

		data = lseek(from, data, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		r = copy_range(from, to, data, hole);
		if (r < 0)
			return r;
		data = hole;
	}
	return 0;
}
