/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * flock(2) is granted to whoever can open a file, for reading too. So none but root can open what
 * is locked here:
 *
 *   STATE/lock              in a directory of mode 0700
 *   /run/revertfs/images-N  named by the images directory's device and inode. A daemon that has
 *                           another /run, as in a container, does not see it
 *   IMAGES/.revertfs/lock   that one sees it, and so do the daemons of other hosts, to which a lock
 *                           on the directory itself would say nothing
 *
 * Whoever finds any of them taken does not start. The last cannot always be had: on a filesystem
 * that is mounted read-only, over NFS that squashes root, where the filesystem has no locks, and
 * where users own the images directory and have made a .revertfs of their own. Then,
 *
 *   on this host's own filesystem   the daemon starts, with a warning
 *   on one that others may see      it does not
 *   ... with images-are-mine=yes    it starts, with a warning
 *
 * A state directory that other hosts may see is warned of, and its lock looked after
 * (durable/guard.h). So is that of the images, before a fold writes one.
 *
 * The descriptor store has the last one as well: while one daemon of a mount follows another, no
 * other host gets it. The state's is taken anew, which waits for a qemu-img of a dead daemon.
 *
 * Each qemu-img inherits the locks: what it may write to stays locked until it has ended.
 *
 * A lock file is never removed: who has it open may be about to lock it, and another daemon would
 * make a new one.
 */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "filesystem.h"
#include "io.h"
#include "lock_holder.h"
#include "log.h"
#include "private.h"

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

/* Say who has the lock, where that can be told: what this host sees, or what is in the file. */
static int report_holder(struct sentence *error, int fd, const char *what)
{
	pid_t holder = lock_holder(fd);
	char owner[GUARD_OWNER_SIZE];

	if (holder)
		return report(error, -EBUSY, "%s: pid %d", what, (int)holder);
	guard_read_owner(fd, owner);
	return report(error, -EBUSY, "%s%s%s", what, *owner ? ": " : "", owner);
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

/* -EBUSY: another has it, which `taken` says. *ret_fd stays open in any case. */
static int take(const struct disks *disks, int directory, const char *name, const char *taken, int *ret_fd,
		struct sentence *error)
{
	int r;

	*ret_fd = open_lock(directory, name);
	r = *ret_fd < 0 ? *ret_fd : lock(disks, *ret_fd);
	if (r == -EBUSY)
		return report_holder(error, *ret_fd, taken);
	return r < 0 ? report(error, r, "%s", error_text(r)) : 0;
}

static int take_state(struct disks *disks, struct sentence *error)
{
	const char *path = disks->options->state;
	CLEANUP(freep)
	char *taken =
		format_text("another revertfs uses the state directory '%s', or a qemu-img that it has started", path);
	int r = taken ? take(disks, disks->state_fd, "lock", taken, &disks->state_lock, error) : -ENOMEM;

	if (r == -EBUSY)
		return r;
	if (r < 0)
		return report(error, r, "the state directory '%s' cannot be locked: %s", path, error_text(r));
	r = guard_begin(&disks->state_guard, "state directory", disks->state_lock);
	if (r < 0)
		return report(
			error, r,
			"the state directory '%s' lies on a filesystem (%s) that other hosts may see, and that does not tell whether a lock there is still held (%s): have it on this host",
			path, disks->state_guard.filesystem, error_text(r));
	if (disks->state_guard.filesystem)
		log_warning(
			"the state directory '%s' lies on a filesystem (%s) that other hosts may see: where the network fails for a minute another host may get its lock, and then this daemon does no more commands; better have it on this host",
			path, disks->state_guard.filesystem);
	return 0;
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

static int take_images_here(struct disks *disks, const char *taken, struct sentence *error)
{
	const char *run = disks->options->run;
	CLEANUP(close_fdp) int directory = -1;
	struct stat stat;
	char name[64];
	int r;

	if (fstat(disks->images_fd, &stat) < 0)
		return report(error, -errno, "the images directory '%s' cannot be looked at: %s",
			      disks->options->images, error_text(-errno));
	snprintf(name, sizeof(name), "images-%u-%u-%llu", major(stat.st_dev), minor(stat.st_dev),
		 (unsigned long long)stat.st_ino);
	directory = open_run_directory(run, error);
	if (directory < 0)
		return directory;
	r = take(disks, directory, name, taken, &disks->images_run_lock, error);
	return r == 0 || r == -EBUSY ? r : report(error, r, "'%s/%s' cannot be locked: %s", run, name, error_text(r));
}

/* Whether a descriptor is of the file that has the name now. */
static bool is_file(int fd, int directory, const char *name)
{
	struct stat own, named;

	return fstat(fd, &own) == 0 && fstatat(directory, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

/* -EBUSY: another has it. Any other failure need not matter. */
static int take_images_lock(struct disks *disks, const char *taken, struct sentence *error)
{
	CLEANUP(close_fdp) int directory = private_directory(disks->images_fd, true);
	CLEANUP(close_fdp) int left = steal_fd(&disks->images_lock);
	int r;

	if (directory == -EPERM)
		return report(error, -EPERM, "its '" PRIVATE_DIRECTORY "' is not root's alone");
	if (directory < 0)
		return report(error, directory, "%s", error_text(directory));
	if (left >= 0 && is_file(left, directory, "lock") && flock(left, LOCK_EX | LOCK_NB) == 0) {
		disks->images_lock = steal_fd(&left);
	} else {
		close_fdp(&left);
		r = take(disks, directory, "lock", taken, &disks->images_lock, error);
		if (r < 0)
			return r;
	}
	/* SMB refuses a second lock to its owner too: it is not looked after there. */
	if (guard_begin(&disks->images_guard, "images directory", disks->images_lock) < 0)
		disks->images_guard.lock = -1;
	return 0;
}

static int take_images(struct disks *disks, struct sentence *error)
{
	const struct options *options = disks->options;
	CLEANUP(freep) char *taken = format_text("another revertfs serves the images directory '%s'", options->images);
	struct sentence why = { "" };
	int r = taken ? take_images_here(disks, taken, error) : report(error, -ENOMEM, "out of memory");

	if (r < 0)
		return r;
	r = take_images_lock(disks, taken, &why);
	if (r == 0)
		return 0;
	if (r == -EBUSY || (disks->images_shared && !options->images_are_mine))
		return r == -EBUSY
			       ? report(error, r, "%s", why.text)
			       : report(error, r,
					"the images directory '%s' lies on a filesystem (%s) that other hosts may see, and cannot be locked against them: %s; where no other host uses it, images-are-mine=yes does without",
					options->images, disks->images_shared, why.text);
	close_fdp(&disks->images_lock);
	disks->images_guard.lock = -1;
	log_warning("the images directory '%s' cannot be locked against other hosts and containers: %s",
		    options->images, why.text);
	return 0;
}

int locks_take(struct disks *disks, struct sentence *error)
{
	struct locks locks;
	int r = take_state(disks, error);

	if (r == 0)
		r = take_images(disks, error);
	if (r < 0)
		return r;
	locks = locks_of(disks);
	memcpy(disks->options->lock_fds, locks.fds, sizeof(locks.fds));
	return 0;
}

int locks_images(const struct disks *disks)
{
	return disks->images_lock;
}

struct locks locks_of(const struct disks *disks)
{
	return (struct locks){ { disks->state_lock, disks->images_run_lock, disks->images_lock } };
}

void locks_release(struct locks *locks)
{
	for (size_t i = 0; i < ARRAY_SIZE(locks->fds); i++)
		close_fdp(&locks->fds[i]);
}
