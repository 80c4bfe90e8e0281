/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened to a domain, as far as libvirt's arguments and files say it.
 */
#ifndef REVERTFS_LIBVIRT_EVENT_H
#define REVERTFS_LIBVIRT_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#define SHOWN_NAME_SIZE 256

struct event {
	const char *domain;          /* the name, raw: any bytes but '/' */
	char shown[SHOWN_NAME_SIZE]; /* the name for people and for the daemon: valid UTF-8, no control characters */
	const char *extra;           /* libvirt's fourth argument, "-" where it says nothing */
	const char *reason;          /* at release: why the domain ended; a static text, "unknown" at worst */
	bool saved;                  /* a managed save of the domain exists */
};

/*
 * The event of libvirt's arguments; `reason` and `saved` are not yet known. The strings are
 * borrowed.
 */
void event_new(const char *domain, const char *extra, struct event *ret_event);

/* Find out whether a managed save exists. */
void event_find_save(struct event *event, const char *save_dir);

/* Find out the reason of a release, after event_find_save(). */
void event_find_reason(struct event *event, const char *libvirt_log_dir);

#endif
