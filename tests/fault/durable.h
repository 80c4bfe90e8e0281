/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a power cut would leave, kept in a directory of its own (the store) while the daemon runs:
 *
 *   KEY.content   a file as it was at its last fsync: data, owner, mode, times, and an image's mark
 *   KEY.entries   a directory as it was at its last fsync: a line "f KEY NAME" or "d KEY NAME" for
 *                 each entry
 *
 * A key is a file's inode and its time of birth, since inodes are used again. What was never synced
 * has no content and no entries. Included by fault.c, which notes each sync of the daemon, and by
 * tests/tools/power.c, which begins and cuts.
 */
#ifndef DURABLE_H
#define DURABLE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define KEY_SIZE 64

/* -1 when there is no such file. `name` may be "" for the descriptor itself. */
static int durable_key(int directory, const char *name, char key[KEY_SIZE], bool *ret_is_directory)
{
	struct statx stat;

	if (statx(directory, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stat) < 0)
		return -1;
	snprintf(key, KEY_SIZE, "%llu-%lld.%09u", (unsigned long long)stat.stx_ino, (long long)stat.stx_btime.tv_sec,
		 stat.stx_btime.tv_nsec);
	*ret_is_directory = S_ISDIR(stat.stx_mode);
	return 0;
}

static int durable_open(const char *store, const char *key, const char *suffix, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s.%s", store, key, suffix);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int durable_copy_xattr(int from, int to, const char *name)
{
	char value[4096];
	ssize_t size = fgetxattr(from, name, value, sizeof(value));

	if (size >= 0)
		return fsetxattr(to, name, value, (size_t)size, 0);
	return fgetxattr(to, name, NULL, 0) < 0 ? 0 : fremovexattr(to, name);
}

static int durable_copy_mark(int from, int to)
{
	int r = durable_copy_xattr(from, to, "trusted.revertfs");

	return r < 0 ? r : durable_copy_xattr(from, to, "trusted.revertfs.where");
}

/* Data (holes kept), owner, mode, mark and times. */
static int durable_copy(int from, int to)
{
	struct stat stat;
	off_t at = 0;

	if (fstat(from, &stat) < 0 || ftruncate(to, 0) < 0 || ftruncate(to, stat.st_size) < 0)
		return -1;
	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE);

		while (at < end) {
			char buffer[65536];
			size_t want = (size_t)(end - at) < sizeof(buffer) ? (size_t)(end - at) : sizeof(buffer);
			ssize_t n = pread(from, buffer, want, at);

			if (n <= 0 || pwrite(to, buffer, (size_t)n, at) != n)
				return -1;
			at += n;
		}
	}
	if (durable_copy_mark(from, to) < 0 || fchown(to, stat.st_uid, stat.st_gid) < 0 ||
	    fchmod(to, stat.st_mode & 07777) < 0)
		return -1;
	return futimens(to, (struct timespec[2]){ stat.st_atim, stat.st_mtim });
}

/* The file has been synced. Any kind of descriptor will do. */
static int durable_note_file(const char *store, int fd)
{
	char key[KEY_SIZE], self[64];
	bool is_directory;
	int from, to, r = -1;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	from = open(self, O_RDONLY | O_CLOEXEC);
	if (from < 0 || durable_key(from, "", key, &is_directory) < 0)
		return -1;
	to = durable_open(store, key, "content", O_RDWR | O_CREAT);
	if (to >= 0) {
		r = durable_copy(from, to);
		close(to);
	}
	close(from);
	return r;
}

static int durable_note_directory(const char *store, int fd)
{
	char key[KEY_SIZE];
	bool is_directory;
	struct dirent *entry;
	DIR *stream;
	FILE *list;
	int to, from;

	if (durable_key(fd, "", key, &is_directory) < 0)
		return -1;
	from = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = durable_open(store, key, "entries", O_WRONLY | O_CREAT | O_TRUNC);
	if (from < 0 || to < 0)
		return -1;
	stream = fdopendir(from);
	list = fdopen(to, "w");
	while ((entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    durable_key(from, entry->d_name, key, &is_directory) < 0)
			continue;
		fprintf(list, "%c %s %s\n", is_directory ? 'd' : 'f', key, entry->d_name);
	}
	closedir(stream);
	return fclose(list);
}

#endif
