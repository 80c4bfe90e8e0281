/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened to a domain, by libvirt's arguments and files.
 */
#ifndef REVERTFS_LIBVIRT_EVENT_H
#define REVERTFS_LIBVIRT_EVENT_H

#include <stdbool.h>
#include <stddef.h>

#define SHOWN_NAME_SIZE 256

struct event {
	const char *domain;          /* the name, raw: any bytes but '/' */
	char shown[SHOWN_NAME_SIZE]; /* for people and for the daemon: valid UTF-8, no control characters */
	const char *extra;           /* libvirt's fourth argument, "-" where it says nothing */
	const char *reason;          /* at release: why the domain ended; a static text, "unknown" at worst */
	bool saved;                  /* a managed save of the domain exists */
};

/* Begin with libvirt's arguments, which are borrowed; `reason` and `saved` are not known yet. */
void event_new(const char *domain, const char *extra, struct event *ret_event);

/* Find out whether a managed save exists. */
void event_find_save(struct event *event, const char *save_dir);

/* Find out the reason of a release, after event_find_save(). */
void event_find_reason(struct event *event, const char *libvirt_log_dir);

#endif
