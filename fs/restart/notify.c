/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NOTIFY_SOCKET is a path, or, where it begins with '@', a name in the abstract namespace. A
 * receiver that does not read its socket is waited for, but no longer than SECONDS.
 */
#include "notify.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "util.h"

#define SECONDS 5

static const char *receiver(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path ? path : "";
}

static int keeper_socket(void)
{
	const char *text = getenv(NOTIFY_DESCRIPTOR);
	uint64_t number;

	return text && parse_size(text, &number) == 0 && number <= INT_MAX ? (int)number : -1;
}

bool notify_is_heard(void)
{
	return keeper_socket() >= 0 || *receiver();
}

bool notify_is_systemds(void)
{
	return keeper_socket() < 0 && *receiver();
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
	struct msghdr datagram = { .msg_iov = &text, .msg_iovlen = 1 };
	struct timeval patience = { .tv_sec = SECONDS };
	CLEANUP(close_fdp) int own_fd = -1;
	int socket_fd = keeper_socket(), r;

	if (!notify_is_heard())
		return 0;
	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		datagram.msg_control = &control;
		datagram.msg_controllen = sizeof(control);
	}
	if (socket_fd < 0) {
		r = find_receiver(&address, &datagram.msg_namelen);
		if (r < 0)
			return r;
		datagram.msg_name = &address;
		socket_fd = own_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	}
	if (socket_fd < 0 || setsockopt(socket_fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    sendmsg(socket_fd, &datagram, MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int notify(const char *message)
{
	return notify_with(message, -1);
}
