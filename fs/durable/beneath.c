/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Most paths stay in one filesystem, and are one openat2(2). One that leads into another is
 * followed name by name, and each filesystem is looked at before it is asked anything: opening what
 * is mounted with O_PATH asks nothing of its server.
 */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mountinfo.h"
#include "util.h"

static int open_at(int directory, const char *name, int flags, uint64_t resolve)
{
	/* openat2(2) refuses flags that O_PATH would ignore; openat(2) does not. */
	int used = flags & O_PATH ? flags & (O_PATH | O_NOFOLLOW | O_DIRECTORY) : flags;
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(used | O_CLOEXEC),
		.resolve = resolve | RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, directory, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int check_server(int fd)
{
	uid_t server;
	int r = mountinfo_server_of(fd, &server);

	return r == 0 && server ? -EACCES : r;
}

/* Open one name, on which another filesystem may be mounted. */
static int open_component(int directory, const char *name, int flags)
{
	int fd = open_at(directory, name, flags, RESOLVE_NO_XDEV), r;
	char path[64];

	if (fd != -EXDEV)
		return fd;
	fd = open_at(directory, name, O_PATH, 0);
	if (fd < 0)
		return fd;
	r = check_server(fd);
	if (r == 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		r = open(path, (flags & ~O_NOFOLLOW) | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	close(fd);
	return r;
}

static int open_across(int directory, const char *name, int flags)
{
	CLEANUP(freep) char *path = strdup(name);
	CLEANUP(close_fdp) int at = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	char *rest = path, *component;

	if (!path)
		return -ENOMEM;
	if (at < 0)
		return -errno;
	if (*name == '/')
		return -EXDEV;
	while ((component = strsep(&rest, "/"))) {
		bool is_last = !rest;
		int next;

		if (!*component)
			continue;
		if (strcmp(component, "..") == 0)
			return -EXDEV;
		next = open_component(at, component, is_last ? flags : O_PATH | O_DIRECTORY);
		if (next < 0 || is_last)
			return next;
		close(at);
		at = next;
	}
	return -ENOENT;
}

int io_open_beneath(int directory, const char *name, int flags)
{
	int fd = open_at(directory, name, flags, RESOLVE_NO_XDEV);

	return fd == -EXDEV ? open_across(directory, name, flags) : fd;
}
