/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flock(2) is granted to whoever can open a file, for reading too. So none but root can open what
 * is locked here: of the images directory, which anybody may look into, that is a file in
 * /run/revertfs, named by the directory's device and inode. Where a daemon has another /run, as in
 * a container, it does not see it.
 *
 * A lock file is never removed: who has it open may be about to lock it, and another daemon would
 * make a new one.
 */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "io.h"
#include "lock_holder.h"

#define LOCK_WAIT_MS 1500
#define LOCK_WAIT_LONGER_MS 20000
#define LOCK_RETRY_MS 20

/*
 * Wait, for the lock may be free in a moment: a daemon that was just unmounted has the locks a
 * little longer than the mount. A killed daemon's qemu-img was killed with it, but may have to
 * finish a write; its successor waits longer.
 */
static int lock(const struct disks *disks, int fd)
{
	bool is_successor = handover_mount(disks->handover)->restarts > 0;
	uint64_t deadline = monotonic_ms() + (is_successor ? LOCK_WAIT_LONGER_MS : LOCK_WAIT_MS);

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (monotonic_ms() > deadline)
			return -EBUSY;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return 0;
}

/* Say who has the lock, where that can be told. */
static int report_holder(struct sentence *error, int fd, const char *what)
{
	pid_t holder = lock_holder(fd);

	return holder ? report(error, -EBUSY, "%s: pid %d", what, (int)holder) : report(error, -EBUSY, "%s", what);
}

/* Two first daemons may come at the same time: the file is one's, and the lock decides. */
static int open_lock(int directory, const char *name)
{
	int fd = io_open_file(directory, name, O_RDWR);

	if (fd != -ENOENT)
		return fd;
	fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return io_open_file(directory, name, O_RDWR);
	return fd < 0 ? -errno : fd;
}

/* `taken` says what another daemon does that has the lock. *ret_fd stays open in any case. */
static int take(const struct disks *disks, int directory, const char *path, const char *name, const char *taken,
		int *ret_fd, struct sentence *error)
{
	int r;

	*ret_fd = open_lock(directory, name);
	r = *ret_fd < 0 ? *ret_fd : lock(disks, *ret_fd);
	if (r == -EBUSY)
		return report_holder(error, *ret_fd, taken);
	return r < 0 ? report(error, r, "'%s/%s' cannot be locked: %s", path, name, error_text(r)) : 0;
}

/*
 * The lock belongs to the open file, which each qemu-img inherits (options->lock_fd): the state
 * directory stays locked until the last process that may write to it has ended.
 */
static int take_state(struct disks *disks, struct sentence *error)
{
	const char *path = disks->options->state;
	CLEANUP(freep)
	char *taken =
		format_text("another revertfs uses the state directory '%s', or a qemu-img that it has started", path);

	return taken ? take(disks, disks->state_fd, path, "lock", taken, &disks->state_lock, error)
		     : report(error, -ENOMEM, "out of memory");
}

/* What others may write to would hold their files, not ours. */
static int open_run_directory(const char *path, struct sentence *error)
{
	CLEANUP(close_fdp) int fd = io_directory(AT_FDCWD, path);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return report(error, fd < 0 ? fd : -errno,
			      "'%s', where images directories are locked, cannot be made: %s", path,
			      error_text(fd < 0 ? fd : -errno));
	if (stat.st_uid != geteuid() || stat.st_mode & (S_IWGRP | S_IWOTH))
		return report(error, -EPERM,
			      "'%s', where images directories are locked, may be written by others than root", path);
	return steal_fd(&fd);
}

static int take_images(struct disks *disks, struct sentence *error)
{
	const struct options *options = disks->options;
	CLEANUP(freep) char *taken = format_text("another revertfs serves the images directory '%s'", options->images);
	CLEANUP(close_fdp) int directory = -1;
	struct stat stat;
	char name[64];

	if (!taken)
		return report(error, -ENOMEM, "out of memory");
	if (fstat(disks->images_fd, &stat) < 0)
		return report(error, -errno, "the images directory '%s' cannot be looked at: %s", options->images,
			      error_text(-errno));
	snprintf(name, sizeof(name), "images-%u-%u-%llu", major(stat.st_dev), minor(stat.st_dev),
		 (unsigned long long)stat.st_ino);
	directory = open_run_directory(options->run, error);
	return directory < 0 ? directory
			     : take(disks, directory, options->run, name, taken, &disks->images_lock, error);
}

int locks_take(struct disks *disks, struct sentence *error)
{
	int r = take_state(disks, error);

	return r < 0 ? r : take_images(disks, error);
}
