/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines for the operator: one per event, names in single quotes; the line of a failure that was
 * survived ends in what was done instead.
 *
 * Lines go to stderr, with systemd's "<3>" prefixes when it listens (JOURNAL_STREAM), or to syslog
 * after log_to_syslog(). Debug lines belong to a topic ("control", "disk", "fuse", "job", and
 * revertctl's "guard") and are printed only when REVERTFS_DEBUG lists it or says "all". The
 * environment holds both choices for the whole process, so that no variable is needed here. The
 * functions that log may be called from any thread and keep errno.
 */
#ifndef REVERTFS_BASE_LOG_H
#define REVERTFS_BASE_LOG_H

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *topic, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Send all later lines to syslog. This changes the environment: call it before any thread starts.
 */
void log_to_syslog(void);

#endif
