/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "beneath.h"
#include "file.h"
#include "log.h"
#include "util.h"

#define CALL_MS 2000
#define FILESYSTEM_MS 20000

struct filesystem {
	dev_t device;
	unsigned left_ms;
	struct filesystem *next;
};

struct reach {
	dev_t own;
	struct filesystem *first;
};

static struct filesystem *filesystem_of(struct reach *reach, dev_t device)
{
	struct filesystem *found = reach->first;

	while (found && found->device != device)
		found = found->next;
	if (found)
		return found;
	found = calloc(1, sizeof(*found));
	if (found) {
		*found = (struct filesystem){ device, FILESYSTEM_MS, reach->first };
		reach->first = found;
	}
	return found;
}

bool reach_call(struct reach *reach, dev_t device, const struct timed_call *call, int *ret_result)
{
	struct filesystem *filesystem = reach ? filesystem_of(reach, device) : NULL;
	unsigned allowed, left;
	bool came;

	*ret_result = -ETIMEDOUT;
	if (!filesystem || !filesystem->left_ms) {
		call->too_late(call->context, -ETIMEDOUT);
		return false;
	}
	allowed = left = filesystem->left_ms < CALL_MS ? filesystem->left_ms : CALL_MS;
	came = in_time(&left, call, ret_result);
	filesystem->left_ms = came ? filesystem->left_ms - (allowed - left) : 0;
	if (!filesystem->left_ms)
		log_warning(
			"filesystem %u:%u does not answer in time, and is waited for no longer: what was open there gets errors",
			major(device), minor(device));
	return came;
}

enum way { NAME_IN, PATH_BENEATH, FILE_ITSELF };

struct opening_again {
	enum way way;
	int directory;
	int flags;
	char name[NAME_MAX + 1];
};

static int open_now(enum way way, int directory, const char *name, int flags)
{
	int fd;

	if (way == FILE_ITSELF)
		return file_open(directory, flags);
	if (way == PATH_BENEATH)
		return io_open_beneath(directory, name, flags);
	fd = openat(directory, name, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int do_open(void *context)
{
	const struct opening_again *opening = context;

	return open_now(opening->way, opening->directory, opening->name, opening->flags);
}

static void drop_opening(void *context, int fd)
{
	struct opening_again *opening = context;

	close_fdp(&fd);
	close_fdp(&opening->directory);
	free(opening);
}

static int open_patiently(struct reach *reach, dev_t device, enum way way, int directory, const char *name, int flags)
{
	struct opening_again *opening = calloc(1, sizeof(*opening));
	int fd;

	if (!opening)
		return -ENOMEM;
	snprintf(opening->name, sizeof(opening->name), "%s", name);
	opening->way = way;
	opening->flags = flags;
	opening->directory = fcntl(directory, F_DUPFD_CLOEXEC, 0);
	if (opening->directory < 0) {
		fd = -errno;
		free(opening);
		return fd;
	}
	if (reach_call(reach, device, &(struct timed_call){ do_open, drop_opening, opening }, &fd))
		drop_opening(opening, -1);
	return fd;
}

int reach_name(struct reach *reach, dev_t device, int directory, const char *name, int flags)
{
	flags |= O_PATH | O_NOFOLLOW;
	if (reach && device == reach->own)
		return open_now(NAME_IN, directory, name, flags);
	return open_patiently(reach, device, NAME_IN, directory, name, flags);
}

int reach_beneath(struct reach *reach, dev_t device, int directory, const char *path)
{
	if (reach && device == reach->own)
		return open_now(PATH_BENEATH, directory, path, O_PATH | O_NOFOLLOW);
	return open_patiently(reach, device, PATH_BENEATH, directory, path, O_PATH | O_NOFOLLOW);
}

/* An open that finds a lease has begun to break it when it says EWOULDBLOCK. */
int reach_again(struct reach *reach, dev_t device, int fd, int flags)
{
	int again = -EWOULDBLOCK;

	if (reach && device == reach->own)
		again = file_open(fd, flags | O_NONBLOCK);
	if (again == -EWOULDBLOCK)
		return open_patiently(reach, device, FILE_ITSELF, fd, "", flags);
	if (again >= 0 && !(flags & O_NONBLOCK))
		fcntl(again, F_SETFL, fcntl(again, F_GETFL) & ~O_NONBLOCK);
	return again;
}

struct reach *reach_new(dev_t own)
{
	struct reach *reach = calloc(1, sizeof(*reach));

	if (reach)
		reach->own = own;
	return reach;
}

void reach_free(struct reach *reach)
{
	if (!reach)
		return;
	while (reach->first) {
		struct filesystem *next = reach->first->next;

		free(reach->first);
		reach->first = next;
	}
	free(reach);
}
