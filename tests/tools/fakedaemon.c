/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for the daemon in the hook's tests: a mount with a control file that answers as a
 * directory of files says, so that a test can make it refuse, be silent, stall or die. The mount is
 * a real one: the hook finds it in mountinfo, and really hangs where it would.
 *
 *	fakedaemon SCRIPT -f -o fsname=IMAGES,subtype=revertfs MOUNTPOINT
 *
 *	SCRIPT/lines         every line that was written is added here
 *	SCRIPT/answer.VERB   the answer to it (default: {"ok":true,"disks":[]}); with "ok":false
 *	                     the write fails
 *	SCRIPT/stall.VERB    while it exists, the write does not return
 *	SCRIPT/die.VERB      the daemon ends without a word
 *	SCRIPT/gone          there is no control file
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fuse.h>

#define CONTROL "/.revertfs/control"

/* What one descriptor will read. */
struct talk {
	char *answer;
	size_t read;
};

static const char *script(void)
{
	return fuse_get_context()->private_data;
}

static bool asked_for(const char *what, const char *verb)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s%s%s", script(), what, *verb ? "." : "", verb);
	return access(path, F_OK) == 0;
}

static char *answer_to(const char *verb)
{
	char path[4096], *text = calloc(1, 2 << 20);
	int fd;

	snprintf(path, sizeof(path), "%s/answer.%s", script(), verb);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, (2 << 20) - 1) < 0)
		strcpy(text, "{\"ok\":true,\"disks\":[]}\n");
	if (fd >= 0)
		close(fd);
	return text;
}

static void remember_line(const char *text, size_t size)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/lines", script());
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || write(fd, text, size) < 0)
		abort();
	close(fd);
}

static int fake_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	bool control = strcmp(path, CONTROL) == 0;

	if (!control && strcmp(path, "/") != 0 && strcmp(path, "/.revertfs") != 0)
		return -ENOENT;
	if (control && asked_for("gone", ""))
		return -ENOENT;
	st->st_mode = control ? S_IFREG | 0600 : S_IFDIR | 0755;
	st->st_nlink = 1;
	return 0;
}

static int fake_open(const char *path, struct fuse_file_info *fi)
{
	struct talk *talk = calloc(1, sizeof(*talk));

	if (!talk)
		return -ENOMEM;
	fi->fh = (uintptr_t)talk;
	fi->direct_io = 1;
	fi->nonseekable = 1;
	return 0;
}

static int fake_write(const char *path, const char *text, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct talk *talk = (struct talk *)(uintptr_t)fi->fh;
	char verb[64] = "";

	remember_line(text, size);
	sscanf(text, "\"%63[a-z]\"", verb);
	if (asked_for("die", verb))
		_exit(1);
	while (asked_for("stall", verb))
		usleep(20000);
	free(talk->answer);
	talk->answer = answer_to(verb);
	talk->read = 0;
	return strstr(talk->answer, "\"ok\":false") ? -EBUSY : (int)size;
}

static int fake_read(const char *path, char *out, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct talk *talk = (struct talk *)(uintptr_t)fi->fh;
	size_t left = talk->answer ? strlen(talk->answer + talk->read) : 0;
	size_t n = left < size ? left : size;

	if (n)
		memcpy(out, talk->answer + talk->read, n);
	talk->read += n;
	return (int)n;
}

static int fake_release(const char *path, struct fuse_file_info *fi)
{
	struct talk *talk = (struct talk *)(uintptr_t)fi->fh;

	free(talk->answer);
	free(talk);
	return 0;
}

static const struct fuse_operations operations = {
	.getattr = fake_getattr,
	.open = fake_open,
	.write = fake_write,
	.read = fake_read,
	.release = fake_release,
};

int main(int argc, char **argv)
{
	char *directory;

	if (argc < 3)
		return 2;
	directory = realpath(argv[1], NULL);
	argv[1] = argv[0];
	return fuse_main(argc - 1, argv + 1, &operations, directory);
}
