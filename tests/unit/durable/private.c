/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies in IMAGES/.revertfs was put there by root, whoever owns the images directory. */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static int new_images(void)
{
	char path[] = "privateXXXXXX";
	int fd;

	check(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0);
	return fd;
}

TEST(is_made_once_for_root_alone)
{
	int images = new_images(), fd;
	struct stat stat;

	check_int(private_directory(images, false), -ENOENT);
	fd = private_directory(images, true);
	check(fd >= 0);
	check_int(fstat(fd, &stat), 0);
	check_int(stat.st_mode & 07777, 0700);
	close(fd);
	for (int make = 0; make < 2; make++) {
		fd = private_directory(images, make);
		check(fd >= 0);
		close(fd);
	}
	close(images);
}

TEST(is_not_trusted_where_others_may_write)
{
	int images = new_images();

	check_int(mkdirat(images, PRIVATE_DIRECTORY, 0700), 0);
	check_int(fchmodat(images, PRIVATE_DIRECTORY, 0777, 0), 0);
	check_int(private_directory(images, true), -EPERM);
	check_int(fchmodat(images, PRIVATE_DIRECTORY, 0770, 0), 0);
	check_int(private_directory(images, false), -EPERM);
	close(images);
}

TEST(is_not_trusted_where_a_user_was_first)
{
	int images = new_images();

	if (geteuid() != 0)
		return;
	check_int(mkdirat(images, PRIVATE_DIRECTORY, 0700), 0);
	check_int(fchownat(images, PRIVATE_DIRECTORY, 65534, 65534, 0), 0);
	check_int(private_directory(images, true), -EPERM);
	close(images);
}

TEST(is_a_directory_and_no_symlink_to_one)
{
	int images = new_images();

	check_int(symlinkat("/", images, PRIVATE_DIRECTORY), 0);
	check_int(private_directory(images, true), -EPERM);
	check_int(unlinkat(images, PRIVATE_DIRECTORY, 0), 0);
	close(openat(images, PRIVATE_DIRECTORY, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	check_int(private_directory(images, true), -EPERM);
	close(images);
}
