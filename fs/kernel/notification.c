/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "notification.h"

#include <errno.h>
#include <stdint.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire.h"

int notification_resend(int fuse_fd)
{
	struct wire_reply message = { .length = sizeof(message), .error = WIRE_NOTIFY_RESEND };

	return write(fuse_fd, &message, sizeof(message)) < 0 ? -errno : 0;
}

bool notification_knows(int fuse_fd, uint64_t nodeid)
{
	struct {
		struct wire_reply header;
		struct wire_inval_inode body;
	} message = {
		.header = { .length = sizeof(message), .error = WIRE_NOTIFY_INVAL_INODE },
		.body = { .nodeid = nodeid, .offset = -1 }, /* negative: the attributes alone, no cached pages */
	};

	return write(fuse_fd, &message, sizeof(message)) >= 0 || errno != ENOENT;
}

int notification_prune(int fuse_fd, const uint64_t *nodeids, size_t count)
{
	struct {
		struct wire_reply header;
		struct wire_prune body;
	} message = {
		.header = { .error = WIRE_NOTIFY_PRUNE },
		.body = { .count = (uint32_t)count },
	};
	struct iovec parts[] = {
		{ .iov_base = &message, .iov_len = sizeof(message) },
		{ .iov_base = (void *)(uintptr_t)nodeids, .iov_len = count * sizeof(*nodeids) },
	};

	message.header.length = (uint32_t)(parts[0].iov_len + parts[1].iov_len);
	return writev(fuse_fd, parts, 2) < 0 ? -errno : 0;
}
