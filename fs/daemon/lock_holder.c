/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/PID/fdinfo/N lists the locks of that very open file (proc(5), from Linux 4.1):
 *
 *	lock:	1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF
 *
 * The pid in the line is the one that took the lock, which may be gone while its child still has
 * the file. So the process whose file it is counts. The device is the filesystem's own, which btrfs
 * does not show in stat(2): where it differs, the file's path decides.
 */
#include "lock_holder.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util.h"

#define FDINFO_SIZE_MAX 65536

/* The locked file, as it is written in /proc. */
struct locked {
	char device_inode[64], inode[32];
	char path[PATH_MAX];
};

/* The path that an open file has, "" when it cannot be told. */
static void read_path(const char *process, const char *number, char path[PATH_MAX])
{
	char link[320];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%.32s/fd/%.255s", process, number);
	length = readlink(link, path, PATH_MAX - 1);
	path[length < 0 ? 0 : length] = '\0';
}

static bool is_locked_by(const struct locked *locked, const char *process, const char *number, const char *line)
{
	char path[PATH_MAX];

	if (strncmp(line, "lock:", 5) != 0 || !strstr(line, "FLOCK"))
		return false;
	if (strstr(line, locked->device_inode))
		return true;
	read_path(process, number, path);
	return strstr(line, locked->inode) && path[0] && strcmp(path, locked->path) == 0;
}

static bool file_has_lock(const struct locked *locked, int directory, const char *process, const char *number)
{
	CLEANUP(close_fdp) int fd = openat(directory, number, O_RDONLY | O_CLOEXEC);
	CLEANUP(freep) char *text = NULL;
	char *save = NULL;

	if (fd < 0 || read_all(fd, FDINFO_SIZE_MAX, &text, NULL) < 0)
		return false;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (is_locked_by(locked, process, number, line))
			return true;
	return false;
}

static bool process_has_lock(const struct locked *locked, const char *process)
{
	CLEANUP(freep) char *path = format_text("/proc/%s/fdinfo", process);
	DIR *directory = path ? opendir(path) : NULL;
	const struct dirent *entry;
	bool has = false;

	if (!directory)
		return false;
	while (!has && (entry = readdir(directory)))
		has = isdigit((unsigned char)entry->d_name[0]) &&
		      file_has_lock(locked, dirfd(directory), process, entry->d_name);
	closedir(directory);
	return has;
}

pid_t lock_holder(int fd)
{
	DIR *processes = opendir("/proc");
	const struct dirent *entry;
	struct locked locked;
	struct stat stat;
	char number[16];
	pid_t holder = 0;

	if (!processes)
		return 0;
	if (fstat(fd, &stat) == 0) {
		snprintf(locked.device_inode, sizeof(locked.device_inode), " %02x:%02x:%llu ", major(stat.st_dev),
			 minor(stat.st_dev), (unsigned long long)stat.st_ino);
		snprintf(locked.inode, sizeof(locked.inode), ":%llu ", (unsigned long long)stat.st_ino);
		snprintf(number, sizeof(number), "%d", fd);
		read_path("self", number, locked.path);
		while (holder == 0 && (entry = readdir(processes)))
			if (isdigit((unsigned char)entry->d_name[0]) && process_has_lock(&locked, entry->d_name))
				holder = (pid_t)atoi(entry->d_name);
	}
	closedir(processes);
	return holder;
}
