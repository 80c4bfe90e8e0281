/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A filesystem to lie in the images directory, which answers EAGAIN: to each write and truncation
 * of its file "write", and to each open of its file "open". Every such answer adds a line to LOG.
 *
 *	unwilling LOG -f MOUNTPOINT
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fuse.h>

static int refuse(const char *line)
{
	int fd = *(int *)fuse_get_context()->private_data;

	if (write(fd, line, strlen(line)) < 0)
		abort();
	return -EAGAIN;
}

static int show(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	bool is_file = strcmp(path, "/write") == 0 || strcmp(path, "/open") == 0;

	if (!is_file && strcmp(path, "/") != 0)
		return -ENOENT;
	st->st_mode = is_file ? S_IFREG | 0644 : S_IFDIR | 0755;
	st->st_nlink = 1;
	return 0;
}

static int refuse_open(const char *path, struct fuse_file_info *fi)
{
	return strcmp(path, "/open") == 0 ? refuse("open\n") : 0;
}

static int refuse_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	return refuse("write\n");
}

static int refuse_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	return refuse("truncate\n");
}

static const struct fuse_operations operations = {
	.getattr = show,
	.open = refuse_open,
	.write = refuse_write,
	.truncate = refuse_truncate,
};

int main(int argc, char **argv)
{
	int fd;

	if (argc < 3)
		return 2;
	fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0)
		return 1;
	argv[1] = argv[0];
	return fuse_main(argc - 1, argv + 1, &operations, &fd);
}
