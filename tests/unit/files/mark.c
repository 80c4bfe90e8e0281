/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mark is read back as it was written, holds for one file, and nothing else passes for one. */
#include "mark.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "private.h"
#include "test.h"

static const struct mark ours = {
	.state = "0123456789abcdef", .file = "fedcba9876543210", .host = "kvm1", .path = "/var/lib/revertfs"
};

struct images {
	int directory, fd;
	bool has_xattrs;
};

static struct images new_images(void)
{
	struct images images;
	char path[] = "markXXXXXX";

	check(mkdtemp(path));
	images.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	images.fd = openat(images.directory, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(images.directory >= 0 && images.fd >= 0);
	images.has_xattrs = fsetxattr(images.fd, MARK_XATTR, "", 0, 0) == 0;
	if (images.has_xattrs)
		check_int(fremovexattr(images.fd, MARK_XATTR), 0);
	return images;
}

static void close_images(const struct images *images)
{
	close(images->directory);
	close(images->fd);
}

static int read_mark(const struct images *images, struct mark *mark, bool *copied)
{
	return mark_read(images->directory, images->fd, ours.file, mark, copied);
}

static void check_is_ours(const struct images *images)
{
	struct mark mark;
	bool copied;

	check_int(read_mark(images, &mark, &copied), 1);
	check(!copied);
	check_str(mark.state, ours.state);
	check_str(mark.file, ours.file);
	check_str(mark.host, ours.host);
	check_str(mark.path, ours.path);
}

/* As mark_write() does where there are no xattrs. */
static void write_text(const struct images *images, const char *text)
{
	CLEANUP(close_fdp) int directory = private_directory(images->directory, true), fd = -1;

	check(directory >= 0);
	fd = openat(directory, "mark-fedcba9876543210.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0);
	check_int(write_all(fd, text, strlen(text)), 0);
}

TEST(what_was_written_is_read_back_and_can_be_removed)
{
	struct images images = new_images();
	struct mark mark;
	bool copied;

	check_int(read_mark(&images, &mark, &copied), 0);
	check_int(mark_write(images.directory, images.fd, &ours), 0);
	check_is_ours(&images);
	check_int(mark_remove(images.directory, images.fd, ours.file), 0);
	check_int(read_mark(&images, &mark, &copied), 0);
	check_int(mark_remove(images.directory, images.fd, ours.file), 0);
	close_images(&images);
}

TEST(the_xattr_of_another_file_is_a_copy_and_no_mark)
{
	struct images images = new_images();
	struct mark mark;
	bool copied;

	if (images.has_xattrs) {
		check_int(mark_write(images.directory, images.fd, &ours), 0);
		check_int(mark_read(images.directory, images.fd, "0000000000000000", &mark, &copied), 0);
		check(copied);
	}
	close_images(&images);
}

TEST(where_another_state_was_is_not_told_of_this_one)
{
	struct images images = new_images();
	static const char where[] = "{\"state\":\"ffffffffffffffff\",\"host\":\"old\",\"path\":\"/old\"}";
	struct mark mark;
	bool copied;

	if (images.has_xattrs) {
		check_int(mark_write(images.directory, images.fd, &ours), 0);
		check_int(fsetxattr(images.fd, MARK_WHERE_XATTR, where, strlen(where), 0), 0);
		check_int(read_mark(&images, &mark, &copied), 1);
		check_str(mark.host, "");
		check_str(mark.path, "");
	}
	close_images(&images);
}

TEST(an_xattr_that_is_no_mark_cannot_be_understood)
{
	static const char *const texts[] = {
		"",
		" ",
		"0123456789abcdef",
		"0123456789abcdef-fedcba9876543210",
		"0123456789ABCDEF fedcba9876543210",
		"0123456789abcdef fedcba987654321\n",
		"0123456789abcdef fedcba9876543210 ",
	};
	struct images images = new_images();
	struct mark mark;
	bool copied;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && images.has_xattrs; i++) {
		check_int(fsetxattr(images.fd, MARK_XATTR, texts[i], strlen(texts[i]), 0), 0);
		check_int(read_mark(&images, &mark, &copied), -EBADMSG);
	}
	close_images(&images);
}

TEST(a_file_is_as_good_and_a_torn_one_cannot_be_understood)
{
	static const char whole[] = "{\"state\":\"0123456789abcdef\",\"file\":\"fedcba9876543210\",\"host\":\"kvm1\","
				    "\"path\":\"/var/lib/revertfs\"}";
	struct images images = new_images();
	char torn[sizeof(whole)];
	struct mark mark;
	bool copied;

	write_text(&images, whole);
	check_is_ours(&images);
	for (size_t length = 0; length < sizeof(whole) - 1; length++) {
		memcpy(torn, whole, length);
		torn[length] = '\0';
		write_text(&images, torn);
		check_int(read_mark(&images, &mark, &copied), -EBADMSG);
	}
	/* That of another file whose name has the same hash. */
	write_text(&images, "{\"state\":\"0123456789abcdef\",\"file\":\"0000000000000000\"}");
	check_int(read_mark(&images, &mark, &copied), -EBADMSG);
	write_text(&images, "{\"state\":\"0123456789abcdef\",\"file\":\"fedcba9876543210\",\"host\":\"a\\u0007b\"}");
	check_int(read_mark(&images, &mark, &copied), -EBADMSG);
	check_int(mark_remove(images.directory, images.fd, ours.file), 0);
	check_int(read_mark(&images, &mark, &copied), 0);
	close_images(&images);
}

TEST(a_file_that_somebody_else_could_have_written_is_no_mark)
{
	struct images images = new_images();
	struct mark mark;
	bool copied;

	write_text(&images, "{\"state\":\"0123456789abcdef\",\"file\":\"fedcba9876543210\"}");
	check_int(read_mark(&images, &mark, &copied), 1);
	check_int(fchmodat(images.directory, PRIVATE_DIRECTORY, 0770, 0), 0);
	check_int(read_mark(&images, &mark, &copied), 0);
	close_images(&images);
}
