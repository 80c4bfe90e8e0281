/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a path may lead to, in one filesystem and through others. */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

/* A directory with a/b, where another filesystem has c/file and a symlink to it. */
static int new_tree(void)
{
	char path[] = "beneathXXXXXX";
	int top;

	check(mkdtemp(path));
	top = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(top >= 0);
	check_int(mkdirat(top, "a", 0755), 0);
	check_int(mkdirat(top, "a/b", 0755), 0);
	check_int(symlinkat("a", top, "way"), 0);
	return top;
}

static void fill(int top)
{
	check_int(mkdirat(top, "a/b/c", 0755), 0);
	close(openat(top, "a/b/c/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	check_int(symlinkat("file", top, "a/b/c/link"), 0);
}

/* The same answers, whether or not a/b is another filesystem. */
static void check_answers(int top)
{
	int fd = io_open_beneath(top, "a/b/c/file", O_RDWR);
	struct stat stat;

	check(fd >= 0 && fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode));
	check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	check_int(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	fd = io_open_beneath(top, "a//b/./c", O_PATH | O_DIRECTORY);
	check(fd >= 0);
	close(fd);
	check_int(io_open_beneath(top, "a/b/c/file", O_PATH | O_DIRECTORY), -ENOTDIR);
	check_int(io_open_beneath(top, "a/b/c/none", O_RDONLY), -ENOENT);
	check_int(io_open_beneath(top, "a/b/none/file", O_RDONLY), -ENOENT);
	check_int(io_open_beneath(top, "a/b/c/link", O_RDONLY), -ELOOP);
	check_int(io_open_beneath(top, "way/b/c/file", O_RDONLY), -ELOOP);
	check_int(io_open_beneath(top, "a/b/../../../x", O_RDONLY), -EXDEV);
	check_int(io_open_beneath(top, "/", O_PATH), -EXDEV);
	fd = io_open_beneath(top, "a/b", O_RDONLY | O_DIRECTORY);
	check(fd >= 0);
	close(fd);
}

TEST(a_path_in_one_filesystem)
{
	int top = new_tree();

	fill(top);
	check_answers(top);
	close(top);
}

TEST(a_path_through_another_filesystem)
{
	int top = new_tree();
	char path[64];

	if (geteuid() == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/a/b", top);
		check_int(mount("none", path, "tmpfs", 0, NULL), 0);
		fill(top);
		check_answers(top);
		check_int(umount2(path, MNT_DETACH), 0);
	}
	close(top);
}
