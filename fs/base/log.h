/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operator reads: one line per event, names in single quotes; a survivable failure ends in
 * what was done instead.
 *
 * Lines go to stderr, with systemd's "<3>" prefixes when it listens (JOURNAL_STREAM), or to syslog
 * once the daemon has left its terminal. Debug lines belong to a topic ("disk", "job", "io",
 * "fuse", "control") and are printed only when REVERTFS_DEBUG lists it or says "all": the
 * environment is the one process-wide place for that choice, so nothing here is a variable. All
 * functions may be called from any thread and keep errno.
 */
#ifndef REVERTFS_BASE_LOG_H
#define REVERTFS_BASE_LOG_H

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *topic, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* From here on lines go to syslog. To be called before the first thread is started. */
void log_to_syslog(void);

#endif
