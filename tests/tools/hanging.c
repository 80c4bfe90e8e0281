/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hanging DIRECTORY MOUNTPOINT [OPTION...]: a filesystem whose server does not answer when it is
 * told to, as one of a user's, or a file server that has gone. Every name in it is a file of a MiB
 * of zeros that anybody may write. A call waits for as long as DIRECTORY has a file of its name:
 * getattr, open, read, write, root (a getattr of the top). Opening "trap" makes `getattr` there, so
 * that an open is answered and the look at what was opened is not. The options are libfuse's.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 20

static int directory_fd(void)
{
	return (int)(long)fuse_get_context()->private_data;
}

static void wait_while_told(const char *call)
{
	while (faccessat(directory_fd(), call, F_OK, 0) == 0)
		poll(NULL, 0, LOOK_AGAIN_MS);
}

static int look(const char *path, struct stat *stat, struct fuse_file_info *info)
{
	int is_top = strcmp(path, "/") == 0;

	(void)info;
	wait_while_told(is_top ? "root" : "getattr");
	memset(stat, 0, sizeof(*stat));
	stat->st_mode = is_top ? S_IFDIR | 0777 : S_IFREG | 0666;
	stat->st_nlink = is_top ? 2 : 1;
	stat->st_size = is_top ? 0 : 1 << 20;
	return 0;
}

static int open_file(const char *path, struct fuse_file_info *info)
{
	(void)info;
	wait_while_told("open");
	if (strcmp(path, "/trap") == 0)
		close(openat(directory_fd(), "getattr", O_CREAT | O_WRONLY, 0600));
	return 0;
}

static int read_file(const char *path, char *buffer, size_t length, off_t offset, struct fuse_file_info *info)
{
	(void)path, (void)offset, (void)info;
	wait_while_told("read");
	memset(buffer, 0, length);
	return (int)length;
}

static int write_file(const char *path, const char *data, size_t length, off_t offset, struct fuse_file_info *info)
{
	(void)path, (void)data, (void)offset, (void)info;
	wait_while_told("write");
	return (int)length;
}

/* There is room for whatever is written. */
static int tell_room(const char *path, struct statvfs *room)
{
	(void)path;
	memset(room, 0, sizeof(*room));
	room->f_bsize = room->f_frsize = 4096;
	room->f_blocks = room->f_bfree = room->f_bavail = 1 << 20;
	return 0;
}

/* Nothing is remembered by the kernel, so that each call arrives. */
static void *begin(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
	return fuse_get_context()->private_data;
}

static const struct fuse_operations operations = {
	.init = begin,
	.getattr = look,
	.open = open_file,
	.read = read_file,
	.write = write_file,
	.statfs = tell_room,
};

int main(int argc, char **argv)
{
	int fd = argc > 2 ? open(argv[1], O_PATH | O_DIRECTORY) : -1;

	if (fd < 0)
		return 2;
	argv[1] = argv[0];
	return fuse_main(argc - 1, argv + 1, &operations, (void *)(long)fd);
}
