/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When may a backing file be released? The kernel begins to use one after the reply to OPEN, and
 * has stopped using it before it sends RELEASE. passthrough_enter() is called before the one and
 * passthrough_leave() after the other, so `opens` is never below the kernel's own count: at 0 no
 * descriptor refers to the backing file.
 *
 * The lock is held over what registers a backing file, which waits for nothing. Looking at a file
 * may wait for its filesystem, and so may releasing one, which may be its last close: both are done
 * without the lock.
 *
 * Files with suid or sgid bits are served by the daemon: a write to one has to clear the bits, and
 * the kernel, which writes with the daemon's rights, would leave them. Bits that are added while
 * the file is open stay until the next open; the mount is nosuid anyway.
 */
#include "passthrough.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "lock.h"
#include "log.h"
#include "util.h"
#include "wire.h"

/* Many more than can be needed: an id is noted under the lock under which the kernel gives it. */
#define UNKNOWN_IDS 512

void passthrough_init(struct passthrough *passthrough, uint32_t *last_id)
{
	passthrough->last_id = last_id;
	pthread_mutex_init(&passthrough->lock, NULL);
	passthrough->fuse_fd = -1;
	atomic_init(&passthrough->complained, false);
}

void passthrough_destroy(struct passthrough *passthrough)
{
	pthread_mutex_destroy(&passthrough->lock);
}

void passthrough_allow(struct passthrough *passthrough, int fuse_fd)
{
	passthrough->fuse_fd = fuse_fd;
}

bool passthrough_is_allowed(const struct passthrough *passthrough)
{
	return passthrough->fuse_fd >= 0;
}

/*
 * The kernel refuses where its filesystem is stacked too deep already, or where a limit is reached.
 * Served by the daemon, the file works as well.
 */
static int register_file(struct passthrough *passthrough, int fd)
{
	struct wire_backing backing = { .fd = fd };
	int id = ioctl(passthrough->fuse_fd, WIRE_BACKING_OPEN, &backing);

	if (id > 0) {
		if ((uint32_t)id > *passthrough->last_id)
			*passthrough->last_id = (uint32_t)id;
		return id;
	}
	id = -errno;
	if (!atomic_exchange(&passthrough->complained, true))
		log_warning("the kernel does not pass a file through (%s), so the daemon reads and writes it",
			    error_text(id));
	return id;
}

static bool may_pass(const struct stat *stat)
{
	return S_ISREG(stat->st_mode) && !(stat->st_mode & (S_ISUID | S_ISGID));
}

/* The backing id of a file that nobody has open yet, or 0: the daemon serves it. */
static int32_t decide(struct passthrough *passthrough, int fd, const struct stat *stat)
{
	int id = may_pass(stat) ? register_file(passthrough, fd) : 0;
	unsigned long long inode = stat->st_ino;

	if (id > 0)
		log_debug("fuse", "inode %llu is passed through as backing file %d", inode, id);
	else
		log_debug("fuse", "inode %llu is served by the daemon: %s", inode,
			  may_pass(stat) ? error_text(id) : "it has suid or sgid bits, or is no regular file");
	return id > 0 ? id : 0;
}

int32_t passthrough_enter(struct passthrough *passthrough, struct passthrough_file *file, int fd, int32_t *noted)
{
	struct stat stat = { .st_mode = 0 };
	int32_t id = 0;

	if (!passthrough_is_allowed(passthrough))
		return 0;
	if (fstat(fd, &stat) < 0)
		stat.st_mode = 0;
	LOCKED (&passthrough->lock) {
		if (file->opens++ == 0)
			file->backing_id = decide(passthrough, fd, &stat);
		id = file->backing_id;
		if (noted)
			*noted = id;
	}
	return id;
}

/*
 * The note goes after the backing file, not before: a daemon that finds the note of a released id
 * releases it once more, which does nothing, while an id without a note would be leaked. Meanwhile
 * the file may have been opened again; then the note is that opening's.
 */
void passthrough_leave(struct passthrough *passthrough, struct passthrough_file *file, int32_t *noted)
{
	int32_t id = 0;

	if (!passthrough_is_allowed(passthrough))
		return;
	LOCKED (&passthrough->lock)
		if (--file->opens == 0) {
			id = file->backing_id;
			file->backing_id = 0;
		}
	if (!id)
		return;
	passthrough_release(passthrough, (uint32_t)id);
	LOCKED (&passthrough->lock)
		if (noted && *noted == id)
			*noted = 0;
}

void passthrough_restore(struct passthrough *passthrough, struct passthrough_file *file, int32_t backing_id)
{
	if (!passthrough_is_allowed(passthrough))
		return;
	LOCKED (&passthrough->lock) {
		file->opens++;
		file->backing_id = backing_id;
	}
}

void passthrough_release(struct passthrough *passthrough, uint32_t backing_id)
{
	if (ioctl(passthrough->fuse_fd, WIRE_BACKING_CLOSE, &backing_id) < 0 && errno != ENOENT)
		log_warning("the kernel does not release backing file %u: %s", backing_id, error_text(-errno));
}

void passthrough_release_unknown(struct passthrough *passthrough, bool (*is_used)(void *context, uint32_t backing_id),
				 void *context)
{
	uint32_t last = *passthrough->last_id, id = last > UNKNOWN_IDS ? last - UNKNOWN_IDS : 1;

	for (; passthrough_is_allowed(passthrough) && id < last + UNKNOWN_IDS; id++)
		if (!is_used(context, id))
			passthrough_release(passthrough, id);
}
