/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook's log file: what was done to which domain, one line each.
 */
#ifndef REVERTFS_LIBVIRT_HOOKLOG_H
#define REVERTFS_LIBVIRT_HOOKLOG_H

/*
 * The lines that tell of a disk, as "web1: prepare: vda 'web1.qcow2': fresh": what was done, the
 * target, the name in the mount. hooklog_find_disk() finds the newest one.
 */
#define HOOKLOG_DISK "%s: %s '%s': "

/* Append a line: time, domain, message. A log that cannot be written never fails an event. */
void hooklog(const char *file, const char *domain, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * The newest part of the log, also of the one that logrotate has put aside, oldest line first; a
 * log that is not there is empty. free() it; NULL when out of memory.
 */
char *hooklog_read(const char *file);

/*
 * The name of the disk that was this target of the domain when the log last told of it; `domain` is
 * as shown_text() shows it. free() it; NULL where the log does not say.
 */
char *hooklog_find_disk(const char *log, const char *domain, const char *target);

#endif
