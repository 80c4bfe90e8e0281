/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel lets go of its side of an open file before it tells us (RELEASE), and takes hold of it after we have answered, so
 * whatever it still has open is counted here: a backing file is only let go when no descriptor can refer to it.
 *
 * Files with suid or sgid bits are served by the daemon: who writes to one takes the bits from it, and the kernel, writing on the
 * daemon's behalf, would leave them. The bits that somebody adds while the file is open stay until the next open; the mount
 * is nosuid anyway.
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

void passages_init(struct passages *passages, uint32_t *last_id)
{
	passages->last_id = last_id;
	pthread_mutex_init(&passages->lock, NULL);
	passages->fuse_fd = -1;
	atomic_init(&passages->complained, false);
}

void passages_destroy(struct passages *passages)
{
	pthread_mutex_destroy(&passages->lock);
}

void passages_allow(struct passages *passages, int fuse_fd)
{
	passages->fuse_fd = fuse_fd;
}

bool passages_allowed(const struct passages *passages)
{
	return passages->fuse_fd >= 0;
}

static bool may_pass(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & (S_ISUID | S_ISGID));
}

/* Also a filesystem that is stacked too deep already, or a limit that is reached: served by the daemon, it works as well. */
static int32_t register_file(struct passages *passages, int fd)
{
	struct wire_backing backing = { .fd = fd };
	int id = ioctl(passages->fuse_fd, WIRE_BACKING_OPEN, &backing);

	if (id > 0) {
		if ((uint32_t)id > *passages->last_id)
			*passages->last_id = (uint32_t)id;
		return id;
	}
	if (!atomic_exchange(&passages->complained, true))
		log_warning("the kernel does not pass a file through (%s), so the daemon reads and writes it",
			    error_text(-errno));
	return 0;
}

int32_t passage_enter(struct passages *passages, struct passage *passage, int fd, int32_t *noted)
{
	int32_t id;

	if (!passages_allowed(passages))
		return 0;
	pthread_mutex_lock(&passages->lock);
	if (passage->opens++ == 0)
		passage->backing_id = may_pass(fd) ? register_file(passages, fd) : 0;
	id = passage->backing_id;
	if (noted)
		*noted = id;
	pthread_mutex_unlock(&passages->lock);
	return id;
}

/* Written off when it is gone: an id that is let go twice does not exist the second time, one that is forgotten stays. */
void passage_leave(struct passages *passages, struct passage *passage, int32_t *noted)
{
	if (!passages_allowed(passages))
		return;
	pthread_mutex_lock(&passages->lock);
	if (--passage->opens == 0) {
		if (passage->backing_id)
			passage_let_go(passages, (uint32_t)passage->backing_id);
		passage->backing_id = 0;
		if (noted)
			*noted = 0;
	}
	pthread_mutex_unlock(&passages->lock);
}

void passage_restore(struct passages *passages, struct passage *passage, int32_t backing_id)
{
	if (!passages_allowed(passages))
		return;
	pthread_mutex_lock(&passages->lock);
	passage->opens++;
	passage->backing_id = backing_id;
	pthread_mutex_unlock(&passages->lock);
}

void passage_let_go(struct passages *passages, uint32_t backing_id)
{
	if (ioctl(passages->fuse_fd, WIRE_BACKING_CLOSE, &backing_id) < 0 && errno != ENOENT)
		log_warning("backing file %u cannot be let go: %s", backing_id, error_text(-errno));
}

void passages_let_go_unknown(struct passages *passages, bool (*is_used)(void *context, uint32_t backing_id),
			     void *context)
{
	uint32_t last = *passages->last_id, id = last > UNKNOWN_IDS ? last - UNKNOWN_IDS : 1;

	for (; passages_allowed(passages) && id < last + UNKNOWN_IDS; id++)
		if (!is_used(context, id))
			passage_let_go(passages, id);
}
