/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel lets go of its side of an open file before it tells us (RELEASE), and takes hold of it
 * after we have answered, so whatever it still has open is counted here: a backing file is only let
 * go when no descriptor can refer to it.
 *
 * Files with suid or sgid bits are served by the daemon: who writes to one takes the bits from it,
 * and the kernel, writing on the daemon's behalf, would leave them. The bits that somebody adds
 * while the file is open stay until the next open; the mount is nosuid anyway.
 */
#include "passthrough.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "log.h"
#include "util.h"
#include "wire.h"

/* How many requests a daemon can have had in hand when it was killed, and as many again. */
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

static bool may_pass(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & (S_ISUID | S_ISGID));
}

/*
 * Also a filesystem that is stacked too deep already, or a limit that is reached: served by the
 * daemon, it works as well.
 */
static int32_t register_file(struct passthrough *passthrough, int fd)
{
	struct wire_backing backing = { .fd = fd };
	int id = ioctl(passthrough->fuse_fd, WIRE_BACKING_OPEN, &backing);

	if (id > 0) {
		if ((uint32_t)id > *passthrough->last_id)
			*passthrough->last_id = (uint32_t)id;
		return id;
	}
	if (!atomic_exchange(&passthrough->complained, true))
		log_warning("the kernel does not pass a file through (%s), so the daemon reads and writes it",
			    error_text(-errno));
	return 0;
}

int32_t passthrough_enter(struct passthrough *passthrough, struct passthrough_file *file, int fd, int32_t *noted)
{
	int32_t id;

	if (!passthrough_is_allowed(passthrough))
		return 0;
	pthread_mutex_lock(&passthrough->lock);
	if (file->opens++ == 0)
		file->backing_id = may_pass(fd) ? register_file(passthrough, fd) : 0;
	id = file->backing_id;
	if (noted)
		*noted = id;
	pthread_mutex_unlock(&passthrough->lock);
	return id;
}

/*
 * Written off when it is gone: an id that is let go twice does not exist the second time, one that
 * is forgotten stays.
 */
void passthrough_leave(struct passthrough *passthrough, struct passthrough_file *file, int32_t *noted)
{
	if (!passthrough_is_allowed(passthrough))
		return;
	pthread_mutex_lock(&passthrough->lock);
	if (--file->opens == 0) {
		if (file->backing_id)
			passthrough_let_go(passthrough, (uint32_t)file->backing_id);
		file->backing_id = 0;
		if (noted)
			*noted = 0;
	}
	pthread_mutex_unlock(&passthrough->lock);
}

void passthrough_restore(struct passthrough *passthrough, struct passthrough_file *file, int32_t backing_id)
{
	if (!passthrough_is_allowed(passthrough))
		return;
	pthread_mutex_lock(&passthrough->lock);
	file->opens++;
	file->backing_id = backing_id;
	pthread_mutex_unlock(&passthrough->lock);
}

void passthrough_let_go(struct passthrough *passthrough, uint32_t backing_id)
{
	if (ioctl(passthrough->fuse_fd, WIRE_BACKING_CLOSE, &backing_id) < 0 && errno != ENOENT)
		log_warning("backing file %u cannot be let go: %s", backing_id, error_text(-errno));
}

void passthrough_let_go_unknown(struct passthrough *passthrough, bool (*is_used)(void *context, uint32_t backing_id),
				void *context)
{
	uint32_t last = *passthrough->last_id, id = last > UNKNOWN_IDS ? last - UNKNOWN_IDS : 1;

	for (; passthrough_is_allowed(passthrough) && id < last + UNKNOWN_IDS; id++)
		if (!is_used(context, id))
			passthrough_let_go(passthrough, id);
}
