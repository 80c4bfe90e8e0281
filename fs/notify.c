/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NOTIFY_SOCKET is a path, or a name in the abstract namespace where it begins with '@'.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util.h"

static const char *receiver(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path ? path : "";
}

bool notify_is_heard(void)
{
	return *receiver();
}

static int find_receiver(struct sockaddr_un *address, socklen_t *ret_length)
{
	const char *path = receiver();
	size_t length = strlen(path);

	if ((*path != '/' && *path != '@') || length >= sizeof(address->sun_path))
		return -EINVAL;
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	if (*path == '@')
		address->sun_path[0] = '\0';
	*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	return 0;
}

int notify_with(const char *message, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = {
			      .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct iovec text = { .iov_base = (char *)(uintptr_t)message, .iov_len = strlen(message) };
	struct msghdr datagram = { .msg_name = &address, .msg_iov = &text, .msg_iovlen = 1 };
	CLEANUP(close_fdp) int socket_fd = -1;
	int r;

	if (!notify_is_heard())
		return 0;
	r = find_receiver(&address, &datagram.msg_namelen);
	if (r < 0)
		return r;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		datagram.msg_control = &control;
		datagram.msg_controllen = sizeof(control);
	}
	socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0 || sendmsg(socket_fd, &datagram, MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int notify(const char *message)
{
	return notify_with(message, -1);
}
