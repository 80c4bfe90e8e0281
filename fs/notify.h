/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling whoever has started us: sd_notify(3) without the library, which is one datagram. systemd listens, or our own keeper (keeper.h).
 */
#ifndef REVERTFS_NOTIFY_H
#define REVERTFS_NOTIFY_H

#include <stdbool.h>

bool notify_is_heard(void);

/* Send "READY=1" and the like to NOTIFY_SOCKET; nothing happens where nobody listens. 0 or a negative errno. */
int notify(const char *message);

/* The same with a descriptor, of which the receiver gets one of its own. */
int notify_with(const char *message, int fd);

#endif
