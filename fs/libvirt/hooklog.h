/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's log file: what was done to which domain, one line each.
 */
#ifndef REVERTFS_LIBVIRT_HOOKLOG_H
#define REVERTFS_LIBVIRT_HOOKLOG_H

/* Append a line: time, domain, message. A log that cannot be written never fails an event. */
void hooklog(const char *file, const char *domain, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
