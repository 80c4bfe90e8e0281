/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the process that started the daemon: sd_notify(3) without its library; each is one
 * datagram. systemd listens at the socket that NOTIFY_SOCKET names, the keeper (keeper.h) at the
 * other end of the descriptor whose number stands in REVERTFS_KEEPER_FD.
 */
#ifndef REVERTFS_RESTART_NOTIFY_H
#define REVERTFS_RESTART_NOTIFY_H

#include <stdbool.h>

#define NOTIFY_DESCRIPTOR "REVERTFS_KEEPER_FD"

/* Whether either of them listens, and whether it is systemd. */
bool notify_is_heard(void);
bool notify_is_systemds(void);

/*
 * Send "READY=1" and the like; 0 at once where nobody listens. 0 or a negative errno. Blocks for
 * five seconds at most.
 */
int notify(const char *message);

/* The same with a descriptor (-1: none), of which the receiver gets a copy. */
int notify_with(const char *message, int fd);

#endif
