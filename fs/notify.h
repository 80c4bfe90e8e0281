/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Telling systemd: sd_notify(3) without the library, which is one datagram.
 */
#ifndef REVERTFS_NOTIFY_H
#define REVERTFS_NOTIFY_H

/* Send "READY=1" and the like to NOTIFY_SOCKET; nothing happens where nobody listens. 0 or a negative errno. */
int notify(const char *message);

#endif
