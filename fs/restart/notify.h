/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling whoever has started us: sd_notify(3) without the library, which is one datagram. systemd
 * listens at NOTIFY_SOCKET, our own keeper (keeper.h) at the other end of a socket whose number
 * stands in NOTIFY_DESCRIPTOR.
 */
#ifndef REVERTFS_RESTART_NOTIFY_H
#define REVERTFS_RESTART_NOTIFY_H

#include <stdbool.h>

#define NOTIFY_DESCRIPTOR "REVERTFS_KEEPER_FD"

bool notify_is_heard(void);

/* Send "READY=1" and the like; nothing happens where nobody listens. 0 or a negative errno. */
int notify(const char *message);

/* The same with a descriptor, of which the receiver gets one of its own. */
int notify_with(const char *message, int fd);

#endif
